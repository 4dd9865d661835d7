//! What can happen next. A step means something in every state (what it names is counted round), so a list of
//! steps can be thinned out and played again.

macro_rules! kinds {
    ($($kind:ident $weight:literal $often:ident,)*) => {
        /// What a step does.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Kind { $($kind,)* }

        impl Kind {
            /// All of them, with their weight and how many schedules have them.
            pub const ALL: &[(Kind, usize, Often)] = &[$((Kind::$kind, $weight, Often::$often),)*];

            /// The kind of this name.
            pub fn named(name: &str) -> Option<Kind> {
                match name { $(stringify!($kind) => Some(Kind::$kind),)* _ => None }
            }
        }
    };
}

/// Which schedules have steps of a kind: what everybody always does hides what seldom happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Often {
    Always,
    Sometimes,
}

kinds! {
    Deliver 30 Always,
    Land 20 Always,
    Reply 20 Always,
    Work 10 Always,
    Pass 8 Always,
    CreateClaim 8 Always,
    DeleteClaim 5 Always,
    RunPod 6 Always,
    Admit 4 Always,
    AdmitOn 8 Always,
    Store 4 Always,
    EndPod 2 Always,
    LoseReply 4 Sometimes,
    Repeat 4 Sometimes,
    Fail 2 Sometimes,
    Refuse 1 Sometimes,
    Late 6 Sometimes,
    Kill 2 Sometimes,
    Relist 2 Sometimes,
    WallJump 1 Sometimes,
    BackUp 2 Sometimes,
    Restore 1 Sometimes,
    Recreate 4 Sometimes,
    Rename 2 Sometimes,
    Strip 2 Sometimes,
    DryRun 1 Sometimes,
    RawPod 2 Sometimes,
    Service 1 Sometimes,
    Tamper 2 Sometimes,
    DeleteHostPort 2 Sometimes,
    EditReleased 2 Sometimes,
    ClearClaimRef 2 Sometimes,
    EditClass 2 Sometimes,
    MakeClass 1 Sometimes,
    MakeHostPort 2 Sometimes,
    ClaimByName 3 Sometimes,
    LimitClass 3 Sometimes,
    LabelNamespace 3 Sometimes,
    EditQuota 3 Sometimes,
}

/// A step: what happens, and two numbers that say to whom and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    pub kind: Kind,
    pub a: u16,
    pub b: u16,
}
