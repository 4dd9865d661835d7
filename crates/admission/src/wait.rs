//! The wait for a claim that may be bound in a moment. It is short, and few wait at once: a waiting request
//! holds a seat of the API server. Controllers never wait: they retry by themselves, and a wait would stall
//! their few workers for everybody (40 ReplicaSets on one dead claim stopped another tenant's for 40 s).
//!
//! Waiting is listening to the watch of claims, and reading again, in growing steps, in case that it is silent: at most
//! 32 waits with at most 16 reads each. A claim that admission has just made is read when the watch tells of it, and
//! every half second. While claims are being bound its turn comes, and to refuse the pod would only make more work:
//! then the wait is longer, as long as the claim says no reason why it is not bound.

use std::{sync::Arc, time::Duration};

use prometheus_client::metrics::gauge::Gauge;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::Instant,
};

/// Waits at the same time.
const AT_ONCE: usize = 32;
/// Waits for claims that admission made, at the same time: they are much shorter.
const MADE_AT_ONCE: usize = 256;
/// A wait ends after this time.
const LONGEST: Duration = Duration::from_secs(5);
/// One for a claim that admission made, whose class has free ports, ends after this time also for controllers.
const LONGEST_MADE: Duration = Duration::from_millis(500);
/// But so long after the last claim that was bound, whosever it was, up to this time in all.
const LONGEST_BUSY: Duration = Duration::from_secs(4);
/// The first pause between two reads; each is twice the one before, up to the last.
const FIRST_PAUSE: Duration = Duration::from_millis(25);
const LAST_PAUSE: Duration = Duration::from_millis(400);

/// The seats for those who wait.
#[derive(Clone)]
pub(crate) struct Waits {
    seats: Arc<Semaphore>,
    seats_made: Arc<Semaphore>,
    in_progress: Gauge,
}

/// One wait. Its seat is free again when it is dropped.
pub(crate) struct Wait {
    _seat: OwnedSemaphorePermit,
    in_progress: Gauge,
    began: Instant,
    until: Instant,
    pause: Duration,
}

impl Waits {
    pub(crate) fn new(in_progress: Gauge) -> Self {
        let seats = |count| Arc::new(Semaphore::new(count));
        Self { seats: seats(AT_ONCE), seats_made: seats(MADE_AT_ONCE), in_progress }
    }

    /// `None`: too many wait already.
    pub(crate) fn begin(&self) -> Option<Wait> {
        self.sit_down(&self.seats, LONGEST, FIRST_PAUSE)
    }

    /// For a claim that admission made, whoever asks. `None`: too many wait already.
    pub(crate) fn begin_made(&self) -> Option<Wait> {
        self.sit_down(&self.seats_made, LONGEST_MADE, LONGEST_MADE)
    }

    fn sit_down(&self, seats: &Arc<Semaphore>, longest: Duration, pause: Duration) -> Option<Wait> {
        let seat = Arc::clone(seats).try_acquire_owned().ok()?;
        self.in_progress.inc();
        Some(Wait {
            _seat: seat,
            in_progress: self.in_progress.clone(),
            began: Instant::now(),
            until: Instant::now() + longest,
            pause,
        })
    }
}

impl Wait {
    /// Pauses before the next read, or until it is `told` that there is something to read. `false`: the time is up.
    pub(crate) async fn pause(&mut self, told: impl Future<Output = ()>) -> bool {
        let now = Instant::now();
        if now >= self.until {
            return false;
        }
        let next = self.until.min(now + self.pause);
        self.pause = (self.pause * 2).min(LAST_PAUSE);
        // Either way it is read again.
        let _ = tokio::time::timeout_at(next, told).await;
        true
    }

    /// A claim was bound at that time, whosever it is: one that admission made is waited for longer.
    pub(crate) fn goes_on(&mut self, bound: Instant) {
        self.until = self.until.max((bound + LONGEST_MADE).min(self.began + LONGEST_BUSY));
    }
}

impl Drop for Wait {
    fn drop(&mut self) {
        self.in_progress.dec();
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_wait_ends_within_five_seconds_and_sixteen_reads() {
        let waits = Waits::new(Gauge::default());
        let start = Instant::now();

        let mut wait = waits.begin().unwrap();
        let mut reads = 1;
        while wait.pause(pending()).await {
            reads += 1;
        }

        assert!(start.elapsed() <= LONGEST && start.elapsed() > LONGEST / 2);
        assert!(reads <= 17, "{reads} reads");
    }

    #[tokio::test(start_paused = true)]
    async fn a_wait_for_a_claim_that_was_made_ends_within_half_a_second() {
        let waits = Waits::new(Gauge::default());
        let start = Instant::now();

        let mut wait = waits.begin_made().unwrap();
        while wait.pause(pending()).await {}

        assert_eq!(start.elapsed(), LONGEST_MADE);
    }

    #[tokio::test(start_paused = true)]
    async fn while_others_are_bound_a_wait_for_a_claim_that_was_made_is_longer_but_not_without_end() {
        let waits = Waits::new(Gauge::default());
        let start = Instant::now();

        let mut wait = waits.begin_made().unwrap();
        let mut reads = 0;
        while wait.pause(pending()).await {
            reads += 1;
            wait.goes_on(Instant::now());
        }

        assert_eq!(start.elapsed(), LONGEST_BUSY);
        assert!(reads <= 11, "{reads} reads");
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_told_does_not_wait_on() {
        let waits = Waits::new(Gauge::default());
        let start = Instant::now();

        assert!(waits.begin_made().unwrap().pause(ready(())).await);

        assert_eq!(start.elapsed(), Duration::ZERO);
    }

    #[test]
    fn only_so_many_wait_at_once() {
        let waits = Waits::new(Gauge::default());
        let mut seats: Vec<_> = (0..AT_ONCE).map(|_| waits.begin().unwrap()).collect();

        assert!(waits.begin().is_none());
        assert_eq!(waits.in_progress.get(), 32);

        seats.pop();
        assert!(waits.begin().is_some());
        drop(seats);
        assert_eq!(waits.in_progress.get(), 0);
    }
}
