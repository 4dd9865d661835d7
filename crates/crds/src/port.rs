//! Field types that exist once parsed only in their valid form: port numbers and durations.

use std::{borrow::Cow, fmt, num::NonZeroU16, str::FromStr, time::Duration};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// A port number, 1 to 65535. It stands for TCP, UDP and SCTP alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Port(NonZeroU16);

impl Port {
    /// `None` for 0.
    pub fn new(number: u16) -> Option<Self> {
        NonZeroU16::new(number).map(Self)
    }

    /// The number, 1 to 65535.
    pub fn get(self) -> u16 {
        self.0.get()
    }
}

impl From<NonZeroU16> for Port {
    fn from(number: NonZeroU16) -> Self {
        Self(number)
    }
}

impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl JsonSchema for Port {
    fn schema_name() -> Cow<'static, str> {
        "Port".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "integer", "minimum": 1, "maximum": 65535 })
    }
}

/// How long a freed number rests, in Go's notation (`90s`, `2m30s`); 0s to 24h, whole milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct ReuseDelay(Duration);

/// Why a text is not a [`ReuseDelay`].
#[derive(Debug, thiserror::Error)]
#[error("{0:?} is not a duration like 90s or 2m30s")]
pub struct ReuseDelayError(String);

impl ReuseDelay {
    /// The default of a class: longer than the 34 s for which a pod's creation can be in flight inside the
    /// API server, so that no pod can be stored on a number that was given away meanwhile.
    pub const DEFAULT: ReuseDelay = ReuseDelay(Duration::from_secs(60));

    /// Rounds down to whole milliseconds.
    pub fn new(delay: Duration) -> Self {
        Self(Duration::from_millis(u64::try_from(delay.as_millis()).unwrap_or(u64::MAX)))
    }

    /// The delay.
    pub fn get(self) -> Duration {
        self.0
    }
}

impl fmt::Display for ReuseDelay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (seconds, millis) = (self.0.as_secs(), self.0.subsec_millis());
        let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
        if hours > 0 {
            write!(f, "{hours}h")?;
        }
        if minutes > 0 {
            write!(f, "{minutes}m")?;
        }
        if millis > 0 {
            write!(f, "{}ms", u64::from(millis) + seconds * 1000)?;
        } else if seconds > 0 || self.0.is_zero() {
            write!(f, "{seconds}s")?;
        }
        Ok(())
    }
}

impl From<ReuseDelay> for String {
    fn from(delay: ReuseDelay) -> Self {
        delay.to_string()
    }
}

impl TryFrom<String> for ReuseDelay {
    type Error = ReuseDelayError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl FromStr for ReuseDelay {
    type Err = ReuseDelayError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        kube::core::Duration::from_str(text)
            .ok()
            .filter(|parsed| !text.is_empty() && !parsed.is_negative())
            .map(|parsed| Self::new(parsed.into()))
            .ok_or_else(|| ReuseDelayError(text.to_owned()))
    }
}

impl JsonSchema for ReuseDelay {
    fn schema_name() -> Cow<'static, str> {
        "ReuseDelay".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        // The pattern keeps duration() in the rule from failing with a runtime error.
        json_schema!({
            "type": "string",
            "maxLength": 32,
            "pattern": "^([0-9]+(\\.[0-9]+)?(ms|s|m|h))+$",
            "x-kubernetes-validations": [{
                "rule": "duration(self) <= duration('24h')",
                "message": "a port rests for at most 24h",
            }],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_delay_prints_as_it_is_written() {
        for text in ["0s", "60s", "90s", "1500ms", "2m", "2m30s", "1h", "1h5s", "24h"] {
            let parsed: ReuseDelay = text.parse().unwrap();

            let again: ReuseDelay = parsed.to_string().parse().unwrap();

            assert_eq!(parsed, again, "{text} became {parsed}");
        }
        assert_eq!("90s".parse::<ReuseDelay>().unwrap().to_string(), "1m30s");
    }

    #[test]
    fn nonsense_is_not_a_delay() {
        for text in ["", "60", "-1s", "soon", "1d"] {
            assert!(text.parse::<ReuseDelay>().is_err(), "{text} was accepted");
        }
    }

    #[test]
    fn zero_and_65536_are_not_ports() {
        assert!(serde_json::from_str::<Port>("0").is_err());
        assert!(serde_json::from_str::<Port>("65536").is_err());
        assert_eq!(serde_json::from_str::<Port>("65535").unwrap().get(), 65535);
    }
}
