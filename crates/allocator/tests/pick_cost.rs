//! A pick costs the same in an empty pool and in one of 65,000 numbers with one left. Here by the clock, with
//! a bound that only a search through the pool can break; the words a pick reads are counted in
//! `src/ledger/tests.rs`.

use std::hint::black_box;
use std::time::{Duration, Instant};

use allocator::{ClassSpec, Hold, Ledger, Port, PortRange, Scope, Strategy};

/// A search port by port costs a thousand times an indexed one, word by word a hundred times.
const GROSSLY: u32 = 20;

fn ledger(strategy: Strategy, free: impl Fn(Port) -> bool) -> Ledger {
    let pool = PortRange::new(Port::new(536).unwrap(), Port::MAX).unwrap();
    let mut ledger = Ledger::new();
    let spec = ClassSpec {
        pools: vec![pool],
        exclude: Vec::new(),
        strategy,
        scope: Scope::Cluster,
        allow_reserved: true,
        created: 0,
    };
    ledger.set_class("wide", spec);
    pool.iter().filter(|port| !free(*port)).for_each(|port| ledger.hold(port, "wide", Hold::Bound));
    ledger
}

/// What 200 picks cost when nothing interrupts them. Of many tries the shortest: a busy machine only ever
/// adds.
fn undisturbed(mut ledgers: [&mut Ledger; 2]) -> [Duration; 2] {
    let mut shortest = [Duration::MAX; 2];
    for _ in 0..100 {
        for (ledger, shortest) in ledgers.iter_mut().zip(&mut shortest) {
            let start = Instant::now();
            for _ in 0..200 {
                black_box(ledger.pick(black_box("wide")));
            }
            *shortest = start.elapsed().min(*shortest);
        }
    }
    shortest
}

#[test]
fn the_last_free_number_of_65000_is_picked_as_fast_as_the_first() {
    for strategy in [Strategy::Sequential, Strategy::Random] {
        let mut empty = ledger(strategy, |_| true);
        let mut full = ledger(strategy, |port| port == Port::MAX);
        assert_eq!((empty.free_count("wide"), full.pick("wide")), (65_000, Some(Port::MAX)));

        let [when_empty, when_full] = undisturbed([&mut empty, &mut full]);

        assert!(when_full < when_empty * GROSSLY, "{strategy:?}: {when_full:?}, empty pool {when_empty:?}");
    }
}
