//! Random schedules: a seed gives a setup and a list of steps. A step means something in every state (what it
//! names is counted round), so a failing list can be thinned out and played again.

use std::time::Duration;

use crds::{ClaimPhase, ReclaimPolicy, Strategy};
use reconciler::{action::Outcome, seen::Key};

use crate::{
    people::{class, key, port, range},
    world::{KINDS, World, is_write},
};

/// splitmix64
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    pub fn one_in(&mut self, bound: usize) -> bool {
        self.below(bound) == 0
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Deliver,
    Land,
    Reply,
    Work,
    LoseReply,
    Repeat,
    Fail,
    Refuse,
    Late,
    Kill,
    Relist,
    WallJump,
    Pass,
    CreateClaim,
    DeleteClaim,
    Strip,
    Admit,
    AdmitOn,
    Store,
    EndPod,
    RawPod,
    Service,
    Tamper,
    DeleteHostPort,
    EditReleased,
    ClearClaimRef,
    EditClass,
    MakeClass,
}

/// What a schedule always has, with weights.
const ALWAYS: [(Kind, usize); 11] = [
    (Kind::Deliver, 30),
    (Kind::Land, 20),
    (Kind::Reply, 20),
    (Kind::Work, 10),
    (Kind::Pass, 8),
    (Kind::CreateClaim, 8),
    (Kind::DeleteClaim, 5),
    (Kind::Admit, 5),
    (Kind::AdmitOn, 5),
    (Kind::Store, 4),
    (Kind::EndPod, 2),
];

/// What only some schedules have: what everybody always does hides what seldom happens.
const SOMETIMES: [(Kind, usize); 17] = [
    (Kind::LoseReply, 4),
    (Kind::Repeat, 4),
    (Kind::Fail, 2),
    (Kind::Refuse, 1),
    (Kind::Late, 6),
    (Kind::Kill, 2),
    (Kind::Relist, 2),
    (Kind::WallJump, 1),
    (Kind::Strip, 2),
    (Kind::RawPod, 2),
    (Kind::Service, 1),
    (Kind::Tamper, 2),
    (Kind::DeleteHostPort, 2),
    (Kind::EditReleased, 2),
    (Kind::ClearClaimRef, 2),
    (Kind::EditClass, 2),
    (Kind::MakeClass, 1),
];

#[derive(Clone, Copy, Debug)]
pub struct Step {
    pub kind: Kind,
    a: usize,
    b: usize,
}

/// All that follows from a seed.
#[derive(Clone, Debug)]
pub struct Schedule {
    controllers: usize,
    claims: usize,
    ports: u16,
    policy: ReclaimPolicy,
    delay: u64,
    two_classes: bool,
    skew: i64,
    /// The kind whose watch is far behind all others, if one of them.
    slow: usize,
    binds_in_flight: usize,
    strategy: Strategy,
    pub steps: Vec<Step>,
}

impl Schedule {
    pub fn of(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let mut kinds: Vec<(Kind, usize)> = ALWAYS.to_vec();
        let busy = random.below(4) + 1;
        for (kind, weight) in SOMETIMES {
            if random.below(8) < busy {
                kinds.push((kind, weight * [1, 1, 4][random.below(3)]));
            }
        }
        let total: usize = kinds.iter().map(|(_, weight)| weight).sum();
        let length = 40 + random.below(260);
        let steps = (0..length).map(|_| {
            let mut at = random.below(total);
            let kind = kinds.iter().find(|(_, weight)| {
                let here = at < *weight;
                at = at.saturating_sub(*weight);
                here
            });
            Step {
                kind: kind.expect("weights add up").0,
                a: random.next() as usize >> 8,
                b: random.next() as usize >> 8,
            }
        });
        let steps = steps.collect();
        Self {
            controllers: 1 + random.below(2),
            claims: 1 + random.below(4),
            ports: 1 + random.below(3) as u16,
            policy: if random.one_in(4) { ReclaimPolicy::Retain } else { ReclaimPolicy::Delete },
            delay: [60, 60, 60, 60, 90, 0][random.below(6)],
            two_classes: random.one_in(3),
            slow: random.below(2 * KINDS.len()),
            binds_in_flight: [128, 128, 1, 2][random.below(4)],
            strategy: if random.one_in(3) { Strategy::Random } else { Strategy::Sequential },
            skew: if random.one_in(4) { random.below(240_000) as i64 - 120_000 } else { 0 },
            steps,
        }
    }

    /// Plays the schedule and lets it come to rest.
    pub fn play(&self, traced: bool) -> World {
        let mut world = World::new();
        if traced {
            world = world.traced();
        }
        world.judge.skewed = self.skew != 0 || self.steps.iter().any(|step| step.kind == Kind::WallJump);
        world.judge.short_delays = self.delay < 40;
        let lonely = |step: &Step| !matches!(step.kind, Kind::Kill | Kind::Repeat | Kind::Fail);
        world.judge.alone = self.controllers == 1 && self.steps.iter().all(lonely);
        world.binds_in_flight = self.binds_in_flight;
        let mut games = class("games", 9000, 8999 + self.ports);
        (games.policy, games.reuse_delay) = (self.policy, Duration::from_secs(self.delay));
        (games.is_default, games.strategy) = (true, self.strategy);
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
        for step in &self.steps {
            self.step(&mut world, *step);
            if world.judge.violation.is_some() {
                return world;
            }
        }
        world.settle();
        world
    }

    fn key(&self, at: usize) -> Key {
        key(["shop/a", "voice/a", "shop/b", "voice/b"][at % self.claims])
    }

    fn step(&self, world: &mut World, Step { kind, a, b }: Step) {
        let index = a % world.controllers.len();
        let requests = |world: &World, landed: bool| -> Vec<_> {
            let all = world.controllers[index].requests.iter();
            all.filter(|(_, request)| request.outcome.is_some() == landed).map(|(id, _)| *id).collect()
        };
        let number = port(9000 + (b % (self.ports as usize + 1)) as u16);
        match kind {
            Kind::Deliver => {
                let kind = b % KINDS.len();
                if kind != self.slow || b / 64 % 8 == 0 {
                    world.deliver(index, kind, 1 + b / 8 % 4);
                }
            }
            Kind::Land => {
                if let Some(&id) = pick(&requests(world, false), b) {
                    world.land(index, id);
                }
            }
            Kind::Reply => {
                if let Some(&id) = pick(&requests(world, true), b) {
                    world.reply(index, id);
                }
            }
            Kind::Work => self.work(world, index, b),
            // The shell repeats what it got no answer to; the first may have been carried out, or may yet be.
            Kind::LoseReply => {
                if let Some(id) = pick(&requests(world, true), b) {
                    world.note(|_| format!("controller {index}'s reply is lost, it asks again"));
                    if let Some(request) = world.controllers[index].requests.get_mut(id) {
                        request.outcome = None;
                    }
                }
            }
            Kind::Repeat => {
                if let Some(id) = pick(&requests(world, false), b) {
                    let action = world.controllers[index].requests[id].action.clone();
                    world.note(|_| format!("controller {index} asks again, the first is still under way"));
                    world.late.extend(Some(action).filter(is_write));
                }
            }
            Kind::Fail => {
                let landed = b.is_multiple_of(2);
                if let Some(&id) = pick(&requests(world, landed), b / 2) {
                    let action = world.controllers[index].requests[&id].action.clone();
                    world.late.extend(Some(action).filter(|it| !landed && is_write(it)));
                    world.answer(index, id, Outcome::Failed("timeout".to_owned()));
                }
            }
            Kind::Refuse => {
                if let Some(&id) = pick(&requests(world, false), b) {
                    world.answer(index, id, Outcome::Refused("no rights today".to_owned()));
                }
            }
            Kind::Late if !world.late.is_empty() => {
                let at = b / 4 % world.late.len();
                if b % 4 == 0 { drop(world.late.swap_remove(at)) } else { world.land_late(at) }
            }
            Kind::Late => {}
            Kind::Kill => world.kill(index, |at| b >> (at % 16) & 1 == 1),
            Kind::Relist => world.relist(index, b % KINDS.len()),
            Kind::WallJump => {
                let skew = [-90_000, -5_000, 0, 30_000, 3_000_000][b % 5];
                world.note(|_| format!("controller {index}'s wall clock is off by {skew} ms"));
                world.controllers[index].skew = skew;
            }
            Kind::Pass => {
                world.pass(Duration::from_millis([500, 1000, 2000, 7000, 20_000, 41_000, 61_000][b % 7]));
                world.poll(index);
            }
            _ => self.step_of_people(world, kind, a, b, number),
        }
    }

    /// A controller works without faults for a few rounds.
    fn work(&self, world: &mut World, index: usize, b: usize) {
        for _ in 0..1 + b % 4 {
            for kind in (0..KINDS.len()).filter(|kind| *kind != self.slow) {
                world.deliver(index, kind, usize::MAX);
            }
            world.poll(index);
            let ids: Vec<_> = world.controllers[index].requests.keys().copied().collect();
            for id in ids {
                if world.controllers[index].requests[&id].outcome.is_none() {
                    world.land(index, id);
                }
                world.reply(index, id);
            }
        }
    }

    fn step_of_people(&self, world: &mut World, kind: Kind, a: usize, b: usize, number: allocator::Port) {
        let name = ["p", "q", "r"][a / 8 % 3];
        match kind {
            Kind::CreateClaim => {
                let wanted = ((b / 4).is_multiple_of(3)).then(|| number.get());
                let class = [Some("games"), None, Some("media")]
                    [if self.two_classes { b / 16 % 3 } else { b / 16 % 2 }];
                world.create_claim(&self.key(a), class, wanted);
            }
            Kind::DeleteClaim => world.delete_claim(&self.key(a)),
            Kind::Strip => world.strip_finalizers(&self.key(a)),
            Kind::Admit => world.admit(name, &self.key(a), b.is_multiple_of(2)),
            Kind::AdmitOn if !world.admissions.is_empty() => world.admit_on(b % world.admissions.len()),
            Kind::Store if !world.admissions.is_empty() => {
                let at = b % world.admissions.len();
                if world.admissions[at].reads == crate::world::Reads::None {
                    world.store(at);
                }
            }
            Kind::EndPod => {
                let pods: Vec<_> = world.server.pods.keys().cloned().collect();
                pick(&pods, b).into_iter().for_each(|pod| world.end_pod(pod));
            }
            Kind::RawPod => world.run_raw_pod(&key(["web/x", "kube-system/y"][a % 2]), number.get()),
            Kind::Service => world.put_service("s", (a.is_multiple_of(2)).then(|| number.get())),
            Kind::Tamper => {
                let lie = [
                    (ClaimPhase::Pending, None),
                    (ClaimPhase::Bound, Some(10250)),
                    (ClaimPhase::Bound, Some(number.get())),
                    (ClaimPhase::Lost, Some(number.get())),
                    (ClaimPhase::Bound, None),
                ][b / 4 % 5];
                world.tamper(&self.key(a), lie.0, lie.1);
            }
            Kind::DeleteHostPort => world.delete_hostport(number),
            Kind::EditReleased => world.edit_to_released(number),
            Kind::ClearClaimRef => world.clear_claim_ref(number, a.is_multiple_of(2)),
            Kind::EditClass => world.edit_class(
                if self.two_classes && b.is_multiple_of(2) { "media" } else { "games" },
                |class| match a % 4 {
                    0 => class.pools = vec![range(9000, 9000 + (b / 2 % 4) as u16)],
                    1 => class.pools = vec![range(9001, 9002 + (b / 2 % 2) as u16)],
                    2 => class.is_default = !class.is_default,
                    _ => class.policy = [ReclaimPolicy::Retain, ReclaimPolicy::Delete][b / 2 % 2],
                },
            ),
            Kind::MakeClass if world.server.classes.contains_key("media") => world.remove_class("media"),
            Kind::MakeClass => world.create_class(class("media", 9001, 9002)),
            _ => {}
        }
    }

    /// A shorter schedule that still fails.
    pub fn thinned(&self) -> Schedule {
        let mut best = self.clone();
        let mut chunk = best.steps.len().div_ceil(2);
        while chunk > 0 {
            let mut at = 0;
            while at < best.steps.len() {
                let mut shorter = best.clone();
                shorter.steps.drain(at..(at + chunk).min(shorter.steps.len()));
                if shorter.play(false).judge.violation.is_some() { best = shorter } else { at += chunk }
            }
            chunk /= 2;
        }
        best
    }
}

fn pick<T>(things: &[T], at: usize) -> Option<&T> {
    things.get(at % things.len().max(1))
}
