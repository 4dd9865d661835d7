//! The faults that a schedule has in it, and how often each was hit. A fault counts only when it met something:
//! a lost reply when there was a reply, a death when there was something to lose.

use std::{fmt, ops::AddAssign};

/// Where a controller's bugs come from: the three of Sieve (OSDI 2022), leaders that are two, clocks, and
/// what people do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// A request was cut off between its beginning and its end.
    Intermediate,
    /// A view was older than the store.
    Stale,
    /// Something happened that was never seen.
    Unobserved,
    /// Two processes decided at once.
    Leaders,
    /// Clocks differ or jump.
    Clocks,
    /// Pods on their way into the store.
    Admission,
    /// Acts of people, rightful or not.
    People,
}

macro_rules! faults {
    ($($name:ident $family:ident $words:literal,)*) => {
        /// A fault, or an act of people that a controller must stand.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Fault { $(#[doc = $words] $name,)* }

        impl Fault {
            /// All of them.
            pub const ALL: &[Fault] = &[$(Fault::$name,)*];

            fn words(self) -> (Family, &'static str) {
                match self { $(Fault::$name => (Family::$family, $words),)* }
            }
        }
    };
}

faults! {
    Killed Intermediate "process died with a request under way",
    LostReply Intermediate "reply lost, the write took effect",
    TimedOut Intermediate "timeout before the write took effect",
    Repeated Intermediate "request sent again while the first is under way",
    LateWrite Intermediate "write of a dead or impatient process landed late",
    Refused Intermediate "request refused for a while",
    Conflict Intermediate "conflict (409)",
    Exists Intermediate "AlreadyExists (409)",
    Behind Stale "write decided while a watch was behind",
    OutOfOrder Stale "news of one kind before older news of another",
    Blind Stale "write decided on a view of a timeline that was undone",
    DroppedNews Unobserved "watch dropped with news in it, listed anew",
    Missed Unobserved "object made and gone again without being seen",
    UidReused Unobserved "name taken by a new uid",
    TwoLeaders Leaders "write asked for while another leader's is under way",
    ClocksApart Clocks "write decided on a wall clock that is off",
    ClockJumped Clocks "wall clock jumped",
    Restored Unobserved "store restored to an older revision",
    RestoredBumped Unobserved "store restored, revisions go on upwards",
    LatePod Admission "pod stored after its claim had changed",
    StaleReading Admission "validation believed an earlier reading",
    PodOfBlock Admission "pod stored with all numbers of a block",
    PodRefused Admission "pod refused between its reads",
    DryRun Admission "dry run",
    Deleted People "claim deleted",
    Renamed People "claim renamed",
    Stripped People "finalizers removed by force",
    Tampered People "status of a claim tampered with",
    HostPortDeleted People "HostPort deleted by hand",
    EditedReleased People "HostPort edited to Released",
    ClaimRefCleared People "claimRef cleared",
    ClassChanged People "class edited, made or deleted",
    HostPortMade People "HostPort made by hand",
    Limited People "labels, a selector, a limit or a quota changed",
    LabelTaken People "label taken off a running pod",
    Rescoped People "class made again with another scope",
    PodOfSlot Admission "pod stored on a slot",
    RawPod People "pod with a number that nobody granted",
    Service People "Service took or gave back a node port",
}

/// How often each fault was hit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tally([u64; Fault::ALL.len()]);

impl Default for Tally {
    fn default() -> Self {
        Self([0; Fault::ALL.len()])
    }
}

impl Tally {
    /// Once more.
    pub fn hit(&mut self, fault: Fault) {
        self.0[fault as usize] += 1;
    }

    /// How often this one was hit.
    pub fn of(&self, fault: Fault) -> u64 {
        self.0[fault as usize]
    }
}

impl AddAssign<&Tally> for Tally {
    fn add_assign(&mut self, other: &Tally) {
        self.0.iter_mut().zip(other.0).for_each(|(mine, others)| *mine += others);
    }
}

/// One line a fault.
impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for fault in Fault::ALL {
            let (family, words) = fault.words();
            let family = format!("{family:?}").to_lowercase();
            writeln!(f, "{:>14}  {family:<13} {words}", self.of(*fault))?;
        }
        Ok(())
    }
}
