//! The table of classes: every name that a class or a HostPort has used, under a small id, with what is
//! counted for it. A row lives while there is a class or a HostPort of that name. Never here: which number
//! belongs to whom.

use std::collections::BTreeSet;

use foldhash::HashMap;
use std::num::NonZeroU32;
use std::ops::{Index, IndexMut};
use std::sync::Arc;

use super::Hold;
use super::class::{ClassSpec, Counts, Scope};
use super::pages::Pages;
use crate::port::{Port, write_ranges};
use crate::set::PortSet;
use crate::spot::Spot;

/// A row of the table. It is given to another name once its row is idle, so only what keeps the row alive may
/// keep it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct ClassId(NonZeroU32);

impl ClassId {
    fn of_row(row: usize) -> Self {
        let number = u32::try_from(row + 1).ok().and_then(NonZeroU32::new);
        Self(number.expect("there are fewer than 2^32 classes"))
    }

    fn row(self) -> usize {
        self.0.get() as usize - 1
    }
}

/// One name: its class, if there is one, and its HostPorts.
#[derive(Clone)]
pub(super) struct Class {
    pub(super) name: Arc<str>,
    pub(super) pool: Option<Pool>,
    bound: usize,
    released: usize,
    pub(super) available: PortSet,
    available_slots: usize,
}

/// What a class that exists owns and can grant.
#[derive(Clone)]
pub(super) struct Pool {
    pub(super) spec: ClassSpec,
    /// The pools as given, for messages.
    pub(super) text: String,
    pub(super) free: PortSet,
    pub(super) capacity: usize,
    /// The first number above the static band: where automatic picks begin.
    pub(super) dynamic: Port,
    /// First and last number of the static band.
    pub(super) band: Option<(Port, Port)>,
    pub(super) foreign: usize,
    pub(super) reserved: usize,
    pub(super) conflict: usize,
    pub(super) blocked: bool,
    pub(super) open: Open,
}

/// The numbers of a class of scope Node that have free slots.
#[derive(Clone)]
pub(super) struct Open {
    /// By their lowest free slot.
    pub(super) levels: BTreeSet<(u32, Port)>,
    /// The same by number, and how many free slots it has.
    at: Pages<(u32, u32)>,
    pub(super) free: usize,
}

impl Open {
    pub(super) fn new() -> Self {
        Self { levels: BTreeSet::new(), at: Pages::new(), free: 0 }
    }

    /// The number has so many free slots, from this one on.
    pub(super) fn set(&mut self, port: Port, lowest: u32, free: usize) {
        if let Some((before, count)) = self.at.remove(port) {
            self.levels.remove(&(before, port));
            self.free -= count as usize;
        }
        if free > 0 {
            self.at
                .insert(port, (lowest, u32::try_from(free).expect("a number has no more than 2^32 slots")));
            self.levels.insert((lowest, port));
            self.free += free;
        }
    }
}

impl Pool {
    /// A class that owns nothing yet.
    pub(super) fn new(spec: ClassSpec) -> Self {
        let mut text = String::new();
        write_ranges(&mut text, spec.pools.iter().copied()).expect("a String takes all that is written");
        Self {
            spec,
            text,
            free: PortSet::new(),
            capacity: 0,
            dynamic: Port::MIN,
            band: None,
            foreign: 0,
            reserved: 0,
            conflict: 0,
            blocked: false,
            open: Open::new(),
        }
    }
}

impl Pool {
    /// How often each number can be granted, if that is limited.
    fn times(&self) -> usize {
        match self.spec.scope {
            Scope::Node { most: Some(most) } => most as usize,
            _ => 1,
        }
    }
}

impl Class {
    fn new(name: Arc<str>) -> Self {
        Self { name, pool: None, bound: 0, released: 0, available: PortSet::new(), available_slots: 0 }
    }

    /// Counts a HostPort of this class.
    pub(super) fn add(&mut self, spot: Spot, hold: Hold) {
        match hold {
            Hold::Bound => self.bound += 1,
            Hold::Released => self.released += 1,
            Hold::Available if spot.is_whole() => _ = self.available.insert(spot.port()),
            Hold::Available => self.available_slots += 1,
        }
    }

    /// The reverse of [`Class::add`].
    pub(super) fn subtract(&mut self, spot: Spot, hold: Hold) {
        match hold {
            Hold::Bound => self.bound -= 1,
            Hold::Released => self.released -= 1,
            Hold::Available if spot.is_whole() => _ = self.available.remove(spot.port()),
            Hold::Available => self.available_slots -= 1,
        }
    }

    pub(super) fn counts(&self) -> Counts {
        let held = Counts {
            allocated: self.bound,
            released: self.released,
            available: self.available.len() + self.available_slots,
            ..Counts::default()
        };
        let Some(pool) = &self.pool else { return held };
        Counts {
            capacity: pool.capacity * pool.times(),
            foreign: pool.foreign,
            free: pool.free.len() + pool.open.free,
            unlimited: pool.spec.scope == (Scope::Node { most: None }) && pool.open.free > 0,
            blocked: pool.blocked,
            reserved: pool.reserved,
            conflict: pool.conflict,
            ..held
        }
    }

    fn is_idle(&self) -> bool {
        self.pool.is_none()
            && self.bound == 0
            && self.released == 0
            && self.available.is_empty()
            && self.available_slots == 0
    }
}

/// All rows, found by name or by id.
#[derive(Clone)]
pub(super) struct ClassTable {
    ids: HashMap<Arc<str>, ClassId>,
    rows: Vec<Class>,
    idle: Vec<ClassId>,
}

impl ClassTable {
    pub(super) fn new() -> Self {
        Self { ids: HashMap::default(), rows: Vec::new(), idle: Vec::new() }
    }

    pub(super) fn id(&self, name: &str) -> Option<ClassId> {
        self.ids.get(name).copied()
    }

    pub(super) fn find(&self, name: &str) -> Option<&Class> {
        self.id(name).map(|id| &self[id])
    }

    /// The class of that name, if there is one.
    pub(super) fn pool(&self, name: &str) -> Option<&Pool> {
        self.find(name)?.pool.as_ref()
    }

    /// The id of that name; makes a row for a name that is new.
    pub(super) fn id_or_new(&mut self, name: &str) -> ClassId {
        if let Some(id) = self.id(name) {
            return id;
        }
        let name = Arc::<str>::from(name);
        let id = if let Some(id) = self.idle.pop() {
            // An idle row counts nothing: all it needs is the name.
            self[id].name = Arc::clone(&name);
            id
        } else {
            self.rows.push(Class::new(Arc::clone(&name)));
            ClassId::of_row(self.rows.len() - 1)
        };
        self.ids.insert(name, id);
        id
    }

    /// Gives the row up if neither a class nor a HostPort uses it, or names would pile up for ever.
    pub(super) fn retire_if_idle(&mut self, id: ClassId) {
        if self[id].is_idle() {
            self.ids.remove(&self.rows[id.row()].name);
            self.idle.push(id);
        }
    }

    #[cfg(test)]
    pub(super) fn rows(&self) -> usize {
        self.rows.len()
    }

    /// The classes that exist, in the order in which they own what they share: oldest first, ties by name.
    pub(super) fn oldest_first(&self) -> Vec<ClassId> {
        let existing = self.rows.iter().enumerate().filter_map(|(row, class)| {
            class.pool.as_ref().map(|pool| (pool.spec.created, &class.name, ClassId::of_row(row)))
        });
        let mut classes: Vec<_> = existing.collect();
        classes.sort_unstable_by_key(|&(created, name, _)| (created, name));
        classes.into_iter().map(|(_, _, id)| id).collect()
    }
}

impl Index<ClassId> for ClassTable {
    type Output = Class;

    fn index(&self, id: ClassId) -> &Class {
        &self.rows[id.row()]
    }
}

impl IndexMut<ClassId> for ClassTable {
    fn index_mut(&mut self, id: ClassId) -> &mut Class {
        &mut self.rows[id.row()]
    }
}
