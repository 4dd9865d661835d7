//! The cluster that a schedule begins with.

use std::time::Duration;

use allocator::Scope;
use crds::{ReclaimPolicy, Strategy};
use reconciler::seen::Class;

use crate::{
    people::class,
    random::Random,
    server::KINDS,
    step::{Kind, Step},
    world::World,
};

/// How large a world is, and how long its schedule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Size {
    /// 1 or 2 claims, 1 or 2 numbers, 8 to 40 steps: short enough that many orders of events are tried.
    Small,
    /// 1 to 3 claims, 1 to 3 numbers, 30 to 100 steps.
    Medium,
    /// 1 to 4 claims, 1 to 3 numbers, 40 to 300 steps.
    Large,
}

impl Size {
    /// Of a hundred schedules 70 are small, 23 are of medium size and 7 are large.
    pub fn of(random: &mut Random) -> Self {
        match random.below(100) {
            0..70 => Size::Small,
            70..93 => Size::Medium,
            _ => Size::Large,
        }
    }

    /// The most claims and numbers, the fewest and the most steps.
    pub fn bounds(self) -> (usize, usize, usize, usize) {
        match self {
            Size::Small => (2, 2, 8, 40),
            Size::Medium => (3, 3, 30, 100),
            Size::Large => (4, 3, 40, 300),
        }
    }
}

macro_rules! setup {
    ($($(#[$doc:meta])* $field:ident: $type:ty,)*) => {
        /// The cluster that a schedule begins with.
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub struct Setup { $($(#[$doc])* pub $field: $type,)* }

        impl Setup {
            /// Each setting by its name, in the order of [`Setup::set`].
            pub fn words(&self) -> Vec<(&'static str, String)> {
                vec![$((stringify!($field), format!("{:?}", self.$field)),)*]
            }

            /// Sets what has this name; false if there is no such thing.
            pub fn set(&mut self, name: &str, value: &str) -> bool {
                $(if name == stringify!($field) {
                    return Read::read(value).map(|value| self.$field = value).is_some();
                })*
                false
            }
        }
    };
}

setup! {
    controllers: usize,
    claims: usize,
    ports: u16,
    /// So many claims are there, and all is at rest, before the first step.
    warm: usize,
    policy: ReclaimPolicy,
    /// `reuseDelay`, seconds.
    delay: u64,
    two_classes: bool,
    /// Claims ask for several numbers, too.
    blocks: bool,
    /// The first two claims are of one namespace.
    neighbours: bool,
    /// Each controller draws its own lots, so that two leaders pick different numbers.
    own_lots: bool,
    /// How far the second controller's wall clock is off, milliseconds.
    skew: i64,
    /// The kind whose watch is far behind all others, if one of them.
    slow: usize,
    binds_in_flight: usize,
    strategy: Strategy,
    /// Class "games" is of scope Node.
    node: bool,
    /// `maxNodes`; 0: none.
    most: u32,
    /// At the end all processes begin anew, and must find nothing to do.
    forget: bool,
}

impl Setup {
    /// `scopes` is drawn from apart: worlds of scope Cluster are what they were before there was another.
    pub fn of(random: &mut Random, size: Size, scopes: &mut Random) -> Self {
        let node = Self::draws_node(scopes);
        let (claims, ports, ..) = size.bounds();
        let claims = 1 + random.below(claims);
        let blocks = random.one_in(3);
        Self {
            controllers: 1 + random.below(2),
            claims,
            warm: random.below(claims + 1),
            ports: 1 + random.below(ports) as u16 + if blocks { 2 } else { 0 },
            blocks,
            neighbours: random.one_in(3),
            own_lots: random.one_in(2),
            policy: if random.one_in(4) { ReclaimPolicy::Retain } else { ReclaimPolicy::Delete },
            delay: random.of(&[60, 60, 60, 60, 90, 0]),
            two_classes: random.one_in(if size == Size::Small { 8 } else { 3 }),
            skew: if random.one_in(4) { random.below(240_000) as i64 - 120_000 } else { 0 },
            // Pods twice as often: what is not heard of them costs most.
            slow: [0, 1, 2, 2, 3, 4].get(random.below(12)).copied().unwrap_or(KINDS.len()),
            binds_in_flight: random.of(&[128, 128, 1, 2]),
            strategy: if random.one_in(3) { Strategy::Random } else { Strategy::Sequential },
            node,
            most: if node { scopes.of(&[0, 1, 2, 3]) } else { 0 },
            forget: random.one_in(4),
        }
    }

    /// Whether there is a class of scope Node: the first that is drawn of `scopes`.
    pub fn draws_node(scopes: &mut Random) -> bool {
        scopes.one_in(5)
    }

    /// The world, and what the judge must know of what is to come.
    pub fn world(&self, steps: &[Step]) -> World {
        let has = |kinds: &[Kind]| steps.iter().any(|step| kinds.contains(&step.kind));
        let mut world = World::new();
        world.judge.skewed = self.skew != 0 || has(&[Kind::WallJump]);
        world.judge.short_delays = self.delay < 40;
        let others = [Kind::Kill, Kind::Repeat, Kind::Fail, Kind::Restore];
        world.judge.alone = self.controllers == 1 && !has(&others);
        world.binds_in_flight = self.binds_in_flight;
        world.own_lots = self.own_lots;
        let mut games = class("games", 9000, 8999 + self.ports);
        (games.policy, games.reuse_delay) = (self.policy, Duration::from_secs(self.delay));
        (games.is_default, games.strategy) = (true, self.strategy);
        if self.node {
            games.scope = Scope::Node { most: (self.most > 0).then_some(self.most) };
            // Whoever has listed the classes knows that there are slots.
            world.create_class(Class { scope: Scope::Node { most: None }, ..class("fleet", 9100, 9100) });
            world.pass(Duration::from_secs(5));
        }
        world.create_class(games);
        if self.two_classes {
            world.pass(Duration::from_secs(5));
            world.create_class(class("media", 9000 + self.ports - 1, 9000 + self.ports));
        }
        for _ in 0..self.controllers {
            let index = world.start();
            if index > 0 {
                world.controllers[index].skew = self.skew;
            }
        }
        if self.warm > 0 {
            (0..self.warm).for_each(|at| {
                let count = if self.blocks { 2 - at as u16 % 2 } else { 1 };
                world.create_block(&self.key(at), Some("games"), None, count);
            });
            world.quiesce();
        }
        world
    }
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            controllers: 1,
            claims: 1,
            ports: 1,
            warm: 0,
            policy: ReclaimPolicy::Delete,
            delay: 60,
            two_classes: false,
            blocks: false,
            neighbours: false,
            own_lots: false,
            skew: 0,
            slow: KINDS.len(),
            binds_in_flight: 128,
            strategy: Strategy::Sequential,
            node: false,
            most: 0,
            forget: true,
        }
    }
}

/// A setting as it is written down.
trait Read: Sized {
    fn read(text: &str) -> Option<Self>;
}

macro_rules! read {
    ($($type:ty),*) => {
        $(impl Read for $type {
            fn read(text: &str) -> Option<Self> {
                text.parse().ok()
            }
        })*
    };
}

read!(bool, i64, u16, u32, u64, usize);

impl Read for ReclaimPolicy {
    fn read(text: &str) -> Option<Self> {
        [ReclaimPolicy::Delete, ReclaimPolicy::Retain].into_iter().find(|it| format!("{it:?}") == text)
    }
}

impl Read for Strategy {
    fn read(text: &str) -> Option<Self> {
        [Strategy::Sequential, Strategy::Random].into_iter().find(|it| format!("{it:?}") == text)
    }
}
