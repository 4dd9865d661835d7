//! One port number, and a range of them: types that cannot hold a number outside 1-65535 or run backwards.
//! Parsing happens here, once; nothing past this file checks a number again. Never here: sets, or who holds
//! what.

use std::fmt;
use std::num::NonZeroU16;

use thiserror::Error;

/// Numbers that a node itself listens on: etcd, the API server, kubelet and kube-proxy. A class grants them
/// only with `allowReserved`. In ascending order.
pub const RESERVED: &[PortRange] = &[
    PortRange { start: literal(2379), end: literal(2380) },
    PortRange { start: literal(6443), end: literal(6443) },
    PortRange { start: literal(10248), end: literal(10259) },
];

/// A port number, 1 to 65535. It stands for TCP, UDP and SCTP together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Port(NonZeroU16);

impl Port {
    /// The lowest port, 1.
    pub const MIN: Self = Self(NonZeroU16::MIN);
    /// The highest port, 65535.
    pub const MAX: Self = Self(NonZeroU16::MAX);

    /// The port of that number; `None` for 0.
    #[must_use]
    pub const fn new(number: u16) -> Option<Self> {
        match NonZeroU16::new(number) {
            Some(number) => Some(Self(number)),
            None => None,
        }
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> u16 {
        self.0.get()
    }

    /// The port one above; `None` after 65535.
    #[must_use]
    pub const fn next(self) -> Option<Self> {
        match self.0.checked_add(1) {
            Some(number) => Some(Self(number)),
            None => None,
        }
    }

    /// The number as an index into an array of 65536.
    pub(crate) const fn index(self) -> usize {
        self.get() as usize
    }

    /// The inverse of [`Port::index`], for indexes that came out of a set, in which 0 is never put.
    pub(crate) fn from_index(index: usize) -> Self {
        u16::try_from(index).ok().and_then(Self::new).expect("sets hold only 1-65535")
    }
}

const fn literal(number: u16) -> Port {
    Port::new(number).expect("a literal is not 0")
}

impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The number is no port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("{0} is not a port: use a number from 1 to 65535")]
pub struct PortError(pub i64);

impl TryFrom<i64> for Port {
    type Error = PortError;

    fn try_from(number: i64) -> Result<Self, PortError> {
        u16::try_from(number).ok().and_then(Self::new).ok_or(PortError(number))
    }
}

impl TryFrom<u16> for Port {
    type Error = PortError;

    fn try_from(number: u16) -> Result<Self, PortError> {
        Self::try_from(i64::from(number))
    }
}

impl TryFrom<i32> for Port {
    type Error = PortError;

    fn try_from(number: i32) -> Result<Self, PortError> {
        Self::try_from(i64::from(number))
    }
}

impl TryFrom<u32> for Port {
    type Error = PortError;

    fn try_from(number: u32) -> Result<Self, PortError> {
        Self::try_from(i64::from(number))
    }
}

impl From<Port> for NonZeroU16 {
    fn from(port: Port) -> Self {
        port.0
    }
}

impl From<Port> for u16 {
    fn from(port: Port) -> Self {
        port.get()
    }
}

/// A range of ports, both ends included. It has at least one member.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PortRange {
    start: Port,
    end: Port,
}

#[expect(clippy::len_without_is_empty, reason = "a range is never empty")]
impl PortRange {
    /// The range from `start` to `end`, both included; an error if `end` is below `start`.
    pub const fn new(start: Port, end: Port) -> Result<Self, RangeError> {
        if start.get() <= end.get() { Ok(Self { start, end }) } else { Err(RangeError { start, end }) }
    }

    /// The lowest port of the range.
    #[must_use]
    pub const fn start(self) -> Port {
        self.start
    }

    /// The highest port of the range.
    #[must_use]
    pub const fn end(self) -> Port {
        self.end
    }

    /// How many ports it has, 1 to 65535.
    #[must_use]
    pub const fn len(self) -> usize {
        self.end.index() - self.start.index() + 1
    }

    /// Whether the port lies inside.
    #[must_use]
    pub const fn contains(self, port: Port) -> bool {
        self.start.get() <= port.get() && port.get() <= self.end.get()
    }

    /// Its ports, in ascending order.
    pub fn iter(self) -> impl DoubleEndedIterator<Item = Port> {
        (self.start.index()..=self.end.index()).map(Port::from_index)
    }
}

impl From<Port> for PortRange {
    fn from(port: Port) -> Self {
        Self { start: port, end: port }
    }
}

/// `7000-7099`, or `443` for a range of one.
impl fmt::Display for PortRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.start == self.end { self.start.fmt(f) } else { write!(f, "{}-{}", self.start, self.end) }
    }
}

/// The range runs backwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the range {start}-{end} runs backwards: put the lower number first")]
pub struct RangeError {
    /// The start that was given.
    pub start: Port,
    /// The end that was given, below the start.
    pub end: Port,
}

/// Ranges as users read them: `5060-5065,20000-20599`, in the order given.
pub(crate) fn write_ranges(
    out: &mut impl fmt::Write,
    ranges: impl Iterator<Item = PortRange>,
) -> fmt::Result {
    for (position, range) in ranges.enumerate() {
        if position > 0 {
            out.write_char(',')?;
        }
        write!(out, "{range}")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn port(number: u16) -> Port {
        Port::new(number).unwrap()
    }

    #[test]
    fn only_1_to_65535_are_ports() {
        assert_eq!(Port::try_from(1u16), Ok(Port::MIN));
        assert_eq!(Port::try_from(65535i64), Ok(Port::MAX));

        assert_eq!(Port::try_from(0u16), Err(PortError(0)));
        assert_eq!(Port::try_from(-9000i32), Err(PortError(-9000)));
        assert_eq!(Port::try_from(65536u32), Err(PortError(65536)));
        assert_eq!(
            Port::try_from(65536i64 + 9000).unwrap_err().to_string(),
            "74536 is not a port: use a number from 1 to 65535"
        );
    }

    #[test]
    fn a_range_cannot_run_backwards() {
        let backwards = PortRange::new(port(7099), port(7000));

        assert_eq!(
            backwards.unwrap_err().to_string(),
            "the range 7099-7000 runs backwards: put the lower number first"
        );
    }

    #[test]
    fn a_range_includes_both_ends() {
        let range = PortRange::new(port(7000), port(7099)).unwrap();

        assert_eq!(range.len(), 100);
        assert!(range.contains(port(7000)) && range.contains(port(7099)));
        assert!(!range.contains(port(6999)) && !range.contains(port(7100)));
        assert_eq!(range.iter().next_back(), Some(port(7099)));
        assert_eq!(range.iter().count(), 100);
    }

    #[test]
    fn the_widest_range_has_every_port() {
        let all = PortRange::new(Port::MIN, Port::MAX).unwrap();

        assert_eq!(all.len(), 65535);
        assert_eq!(all.iter().count(), 65535);
    }

    #[test]
    fn a_range_of_one_reads_as_a_number() {
        assert_eq!(PortRange::from(port(443)).to_string(), "443");
        assert_eq!(PortRange::new(port(7000), port(7099)).unwrap().to_string(), "7000-7099");
    }

    #[test]
    fn the_reserved_numbers_are_those_of_the_node() {
        let mut text = String::new();
        write_ranges(&mut text, RESERVED.iter().copied()).unwrap();

        assert_eq!(text, "2379-2380,6443,10248-10259");
    }
}
