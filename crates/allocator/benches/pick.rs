//! What a pick costs at the worst fill: 65,000 numbers, one of them free. Goal: at most 200 ns.
//! Never here: a bound that fails a build; that is `tests/pick_cost.rs`.

use std::hint::black_box;

use allocator::{ClassSpec, Hold, Ledger, Port, PortRange, Scope, Strategy, Waiters};
use criterion::{Criterion, criterion_group, criterion_main};

fn ledger(strategy: Strategy, free: impl Fn(u16) -> bool) -> Ledger {
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
    pool.iter().filter(|port| !free(port.get())).for_each(|port| ledger.hold(port, "wide", Hold::Bound));
    ledger
}

fn picks(c: &mut Criterion) {
    for strategy in [Strategy::Sequential, Strategy::Random] {
        let mut last = ledger(strategy, |number| number == 65535);
        c.bench_function(&format!("pick/1 free of 65000/{strategy:?}"), |b| {
            b.iter(|| black_box(last.pick(black_box("wide"))));
        });

        let mut half = ledger(strategy, |number| number % 2 == 0);
        c.bench_function(&format!("pick/half free of 65000/{strategy:?}"), |b| {
            b.iter(|| black_box(half.pick(black_box("wide"))));
        });

        let mut last = ledger(strategy, |number| number == 65535);
        c.bench_function(&format!("pick, hold, unhold/1 free of 65000/{strategy:?}"), |b| {
            b.iter(|| {
                let port = last.pick(black_box("wide")).unwrap();
                last.hold(port, "wide", Hold::Bound);
                last.unhold(port);
            });
        });
    }
}

fn classes(c: &mut Criterion) {
    let mut ledger = ledger(Strategy::Sequential, |number| number % 2 == 0);
    let spec = |end| ClassSpec {
        pools: vec![PortRange::new(Port::new(7000).unwrap(), Port::new(end).unwrap()).unwrap()],
        exclude: Vec::new(),
        strategy: Strategy::Sequential,
        scope: Scope::Cluster,
        allow_reserved: false,
        created: -1,
    };
    c.bench_function("set_class/2 classes, 65000 ports", |b| {
        b.iter(|| {
            ledger.set_class("games", spec(7999));
            ledger.set_class("games", spec(7099));
        });
    });
}

fn waiters(c: &mut Criterion) {
    let mut waiters = Waiters::new();
    for claim in 0..10_000u32 {
        waiters.insert(&format!("team-{}", claim % 100), i64::from(claim), claim);
    }
    c.bench_function("waiters/pop and insert at 10000", |b| {
        b.iter(|| {
            let claim = waiters.pop().unwrap();
            waiters.insert(&format!("team-{}", claim % 100), i64::from(claim), claim);
        });
    });
}

criterion_group!(benches, picks, classes, waiters);
criterion_main!(benches);
