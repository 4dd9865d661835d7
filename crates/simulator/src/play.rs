//! Carries out one step in a world.

use std::time::Duration;

use allocator::{Port, Scope, Spot};
use crds::{ClaimPhase, ReclaimPolicy};
use reconciler::{
    action::Outcome,
    seen::{Admits, Key},
};

use crate::{
    controller::is_write,
    faults::Fault,
    people::{class, key, labelled, port, range},
    server::KINDS,
    setup::Setup,
    step::{Kind, Step},
    world::World,
};

/// Names of claims, in the order in which worlds have them.
const CLAIMS: [&str; 4] = ["shop/a", "voice/a", "shop/b", "voice/b"];
/// The same where the first two are of one namespace.
const NEIGHBOURS: [&str; 4] = ["shop/a", "shop/b", "voice/a", "voice/b"];

impl Setup {
    /// Carries out a step.
    pub fn step(&self, world: &mut World, Step { kind, a, b }: Step) {
        let (a, b) = (usize::from(a), usize::from(b));
        let index = a % world.controllers.len();
        let number = port(9000 + (b % (usize::from(self.ports) + 1)) as u16);
        let spot = self.spot(number, a / 16);
        match kind {
            Kind::Deliver => {
                let kind = b % KINDS.len();
                if kind != self.slow || b / 64 % 8 == 0 {
                    world.deliver(index, kind, 1 + b / 8 % 4);
                }
            }
            Kind::Land => {
                if let Some(&id) = pick(&world.controllers[index].ids(false), b) {
                    world.land(index, id);
                }
            }
            Kind::Reply => {
                if let Some(&id) = pick(&world.controllers[index].ids(true), b) {
                    world.reply(index, id);
                }
            }
            Kind::Work => {
                for _ in 0..1 + b % 4 {
                    world.round(index, Some(self.slow));
                }
            }
            Kind::Pass => {
                world.pass(Duration::from_millis([500, 1000, 2000, 7000, 20_000, 41_000, 61_000][b % 7]));
                world.poll(index);
            }
            Kind::LoseReply | Kind::Repeat | Kind::Fail | Kind::Refuse => {
                request_fails(world, kind, index, b);
            }
            Kind::Late if !world.late.is_empty() => {
                let at = b / 4 % world.late.len();
                if b % 4 == 0 { drop(world.late.swap_remove(at)) } else { world.land_late(at) }
            }
            Kind::Kill => world.kill(index, |at| b >> (at % 16) & 1 == 1),
            Kind::Relist => drop_watch(world, index, b % KINDS.len()),
            Kind::WallJump => {
                let skew = [-90_000, -5_000, 0, 30_000, 3_000_000][b % 5];
                world.note(|_| format!("controller {index}'s wall clock is off by {skew} ms"));
                world.tally.hit(Fault::ClockJumped);
                world.controllers[index].skew = skew;
            }
            Kind::BackUp => world.back_up(),
            Kind::Restore => world.restore(b % 2 == 1),
            Kind::DeleteHostPort => world.delete_hostport(spot),
            Kind::EditReleased => world.edit_to_released(spot),
            Kind::ClearClaimRef => world.clear_claim_ref(spot, a.is_multiple_of(2)),
            Kind::EditClass | Kind::MakeClass => self.class_changes(world, kind, a, b),
            Kind::MakeHostPort | Kind::LimitClass | Kind::LabelNamespace | Kind::EditQuota => {
                self.step_of_admins(world, kind, a, b, number);
            }
            Kind::RawPod if self.node && !(a / 2).is_multiple_of(3) => {
                let pods: Vec<_> = world.server.pods.keys().cloned().collect();
                pick(&pods, b).into_iter().for_each(|pod| world.strip_label(pod));
            }
            Kind::RawPod => world.run_raw_pod(&key(["web/x", "kube-system/y"][a % 2]), number.get()),
            Kind::Service => world.put_service("s", (a.is_multiple_of(2)).then(|| number.get())),
            _ => self.step_of_tenants(world, kind, a, b, number),
        }
    }

    /// The HostPort that is meant: in worlds of scope Node mostly a slot.
    fn spot(&self, number: Port, choice: usize) -> Spot {
        match choice % 4 {
            slot if self.node && slot > 0 => Spot::slot_of(number, slot as u32 - 1),
            _ => number.into(),
        }
    }

    /// The name of a claim, counted round.
    pub fn key(&self, at: usize) -> Key {
        key(if self.neighbours { NEIGHBOURS } else { CLAIMS }[at % self.claims])
    }

    fn step_of_tenants(&self, world: &mut World, kind: Kind, a: usize, b: usize, number: Port) {
        let name = ["p", "q", "r"][a / 8 % 3];
        match kind {
            Kind::CreateClaim => {
                let wanted = ((b / 4).is_multiple_of(3)).then(|| number.get());
                let classes = [Some("games"), None, Some("media")];
                let class = classes[b / 16 % if self.two_classes { 3 } else { 2 }];
                let count = if self.blocks { [1, 2, 2, 3][b / 64 % 4] } else { 1 };
                if wanted.is_none() && b / 4096 % 4 == 3 {
                    return world.create_preferring(&self.key(a), class, number.get(), count);
                }
                world.create_block(&self.key(a), class, wanted, count);
            }
            Kind::ClaimByName => {
                let class =
                    [Some("games"), None, Some("media")][b / 16 % if self.two_classes { 3 } else { 2 }];
                world.create_named(&self.key(a), class, self.spot(number, a / 16));
            }
            Kind::DeleteClaim => {
                world.delete_claim(&self.key(a));
                if b.is_multiple_of(4) {
                    world.strip_finalizers(&self.key(a));
                }
            }
            Kind::Recreate => world.recreate_claim(&self.key(a)),
            Kind::Rename => {
                let before = self.key(a);
                world.rename_claim(&before, &Key::new(&before.namespace, "c"));
            }
            Kind::Strip => world.strip_finalizers(&self.key(a)),
            Kind::Admit => world.admit(name, &self.key(a), !b.is_multiple_of(2)),
            Kind::RunPod => world.run_pod(name, &self.key(a)),
            Kind::DryRun => world.dry_run(name, &self.key(a)),
            Kind::AdmitOn if !world.admissions.is_empty() => world.admit_on(b % world.admissions.len()),
            Kind::Store if !world.admissions.is_empty() => world.store(b % world.admissions.len()),
            Kind::EndPod => {
                let pods: Vec<_> = world.server.pods.keys().cloned().collect();
                pick(&pods, b).into_iter().for_each(|pod| world.end_pod(pod));
            }
            Kind::Tamper => {
                let (phase, spot) = [
                    (ClaimPhase::Pending, None),
                    (ClaimPhase::Bound, Some(port(10250).into())),
                    (ClaimPhase::Bound, Some(self.spot(number, a / 16))),
                    (ClaimPhase::Lost, Some(self.spot(number, a / 16))),
                    (ClaimPhase::Bound, None),
                ][b / 4 % 5];
                world.tamper(&self.key(a), phase, spot);
            }
            _ => {}
        }
    }

    fn step_of_admins(&self, world: &mut World, kind: Kind, a: usize, b: usize, number: Port) {
        let namespace = ["shop", "voice"][a % 2];
        let class = if self.two_classes && (b / 16).is_multiple_of(3) { "media" } else { "games" };
        let limit = [None, Some(1), Some(2), Some(3), Some(0)][b % 5];
        match kind {
            Kind::MakeHostPort => {
                let policy = [ReclaimPolicy::Delete, ReclaimPolicy::Retain][b / 8 % 2];
                let names = [self.key(a / 4), key("shop/c")];
                let kept_for =
                    [None, None, Some(&names[0]), Some(&names[usize::from((a / 64).is_multiple_of(4))])]
                        [a % 4];
                let class = if (b / 16).is_multiple_of(4) { "media" } else { "games" };
                world.make_hostport(self.spot(number, a / 128), class, policy, kept_for.cloned());
            }
            Kind::LabelNamespace => world.label(namespace, b.is_multiple_of(2)),
            Kind::EditQuota => {
                let key = Key::new(namespace, ["q", "r"][a / 2 % 2]);
                world.put_quota(&key, limit.map(|limit| (class, limit)));
            }
            _ => {
                world.tally.hit(Fault::Limited);
                world.edit_class(class, |class| match a % 3 {
                    0 => class.admits = if b.is_multiple_of(2) { Admits::All } else { labelled() },
                    1 => class.max_per_namespace = limit,
                    _ => class.max_count = [64, 1, 2][b % 3],
                });
            }
        }
    }

    /// Class "games" is deleted and made again with the other scope.
    fn rescope(&self, world: &mut World) {
        let Some(before) = world.server.classes.get("games").map(|class| class.scope) else { return };
        world.tally.hit(Fault::Rescoped);
        let most = (self.most > 0).then_some(self.most);
        let scope = if before == Scope::Cluster { Scope::Node { most } } else { Scope::Cluster };
        world.rescope_class("games", scope);
    }

    fn class_changes(&self, world: &mut World, kind: Kind, a: usize, b: usize) {
        match kind {
            Kind::MakeClass if self.node && !a.is_multiple_of(3) => self.rescope(world),
            Kind::MakeClass if world.server.classes.contains_key("media") => world.remove_class("media"),
            Kind::MakeClass => world.create_class(class("media", 9001, 9002)),
            _ => {
                let name = if self.two_classes && b.is_multiple_of(2) { "media" } else { "games" };
                world.edit_class(name, |class| match a % 4 {
                    0 => class.pools = vec![range(9000, 9000 + (b / 2 % 4) as u16)],
                    1 => class.pools = vec![range(9001, 9002 + (b / 2 % 2) as u16)],
                    2 => class.is_default = !class.is_default,
                    _ => class.policy = [ReclaimPolicy::Retain, ReclaimPolicy::Delete][b / 2 % 2],
                });
            }
        }
    }
}

/// The shell repeats what it got no answer to; the first may have been carried out, or may yet be.
fn request_fails(world: &mut World, kind: Kind, index: usize, b: usize) {
    let landed = match kind {
        Kind::LoseReply => true,
        Kind::Fail => b.is_multiple_of(2),
        _ => false,
    };
    let b = if kind == Kind::Fail { b / 2 } else { b };
    let Some(&id) = pick(&world.controllers[index].ids(landed), b) else { return };
    let action = world.controllers[index].requests[&id].action.clone();
    let (wrote, actor) = (is_write(&action), world.controllers[index].actor());
    match kind {
        Kind::LoseReply => {
            world.note(|_| format!("controller {index}'s reply is lost, it asks again"));
            if let Some(request) = world.controllers[index].requests.get_mut(&id) {
                request.outcome = None;
            }
        }
        Kind::Repeat => {
            world.note(|_| format!("controller {index} asks again, the first is still under way"));
            world.late.extend(wrote.then_some((action, actor)));
        }
        Kind::Fail => {
            world.late.extend((!landed && wrote).then_some((action, actor)));
            world.answer(index, id, Outcome::Failed("timeout".to_owned()));
        }
        _ => world.answer(index, id, Outcome::Refused("no rights today".to_owned())),
    }
    let fault = match kind {
        Kind::Refuse => Fault::Refused,
        Kind::Repeat if wrote => Fault::Repeated,
        _ if wrote && landed => Fault::LostReply,
        _ if wrote => Fault::TimedOut,
        _ => return,
    };
    world.tally.hit(fault);
}

fn drop_watch(world: &mut World, index: usize, kind: usize) {
    let controller = &world.controllers[index];
    if controller.blind.is_some() {
        return;
    }
    let (dropped, missed) = (!controller.backlog[kind].is_empty(), controller.unseen(kind));
    if dropped {
        world.tally.hit(Fault::DroppedNews);
    }
    if missed {
        world.tally.hit(Fault::Missed);
    }
    world.note(|_| format!("controller {index}'s watch of {} breaks and lists anew", KINDS[kind]));
    world.relist(index, kind);
}

fn pick<T>(things: &[T], at: usize) -> Option<&T> {
    things.get(at % things.len().max(1))
}
