//! The wait for a claim that may be bound in a moment. It is short, and few wait at once: a waiting request
//! holds a seat of the API server. Controllers never wait: they retry by themselves, and a wait would stall
//! their few workers for everybody (40 ReplicaSets on one dead claim stopped another tenant's for 40 s).
//!
//! Waiting is listening to the watch of claims, and reading again, in growing steps, in case that it is silent: at most
//! 32 waits with at most 16 reads each. A claim that admission has just made is read when the watch tells of it, or when
//! for half a second it has told of no claim that was bound. While claims are being bound its turn comes, and to refuse the
//! pod would only make more work: then the wait is longer.

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
        self.sit_down(&self.seats_made, LONGEST_MADE, Duration::ZERO)
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

    /// The same for a claim that admission made, as long as others are bound: `last_bound` is when the watch told of one,
    /// whosever it is.
    pub(crate) async fn pause_while_busy(
        &mut self,
        told: impl Future<Output = ()>,
        last_bound: impl Fn() -> Option<Instant>,
    ) -> bool {
        if Instant::now() >= self.until {
            return false;
        }
        // What the watch tells may be older than what was read last.
        tokio::time::sleep(self.pause).await;
        self.pause = (self.pause * 2).clamp(FIRST_PAUSE, LAST_PAUSE);
        let mut told = std::pin::pin!(told);
        while tokio::time::timeout_at(self.until, &mut told).await.is_err() {
            let busy = last_bound().map_or(self.until, |bound| bound + LONGEST_MADE);
            let until = busy.min(self.began + LONGEST_BUSY);
            if until <= self.until {
                break;
            }
            self.until = until;
        }
        true
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
    async fn a_wait_for_a_claim_that_was_made_ends_within_half_a_second_and_two_reads() {
        let waits = Waits::new(Gauge::default());
        let start = Instant::now();

        let mut wait = waits.begin_made().unwrap();
        let mut reads = 1;
        while wait.pause_while_busy(pending(), || None).await {
            reads += 1;
        }

        assert_eq!((start.elapsed(), reads), (LONGEST_MADE, 2));
    }

    #[tokio::test(start_paused = true)]
    async fn while_others_are_bound_it_is_longer_but_not_without_end_and_nothing_is_read() {
        let waits = Waits::new(Gauge::default());
        let start = Instant::now();

        let mut wait = waits.begin_made().unwrap();
        let mut reads = 1;
        while wait.pause_while_busy(pending(), || Some(Instant::now())).await {
            reads += 1;
        }

        assert_eq!((start.elapsed(), reads), (LONGEST_BUSY, 2));
    }

    #[tokio::test(start_paused = true)]
    async fn a_watch_that_tells_old_news_makes_few_reads() {
        let waits = Waits::new(Gauge::default());

        let mut wait = waits.begin_made().unwrap();
        let mut reads = 1;
        while wait.pause_while_busy(ready(()), || None).await {
            reads += 1;
        }

        assert!(reads <= 8, "{reads} reads");
    }

    #[tokio::test(start_paused = true)]
    async fn when_no_more_are_bound_it_ends() {
        let waits = Waits::new(Gauge::default());
        let last = Instant::now() + Duration::from_millis(1200);

        let mut wait = waits.begin_made().unwrap();
        while wait.pause_while_busy(pending(), || Some(last.min(Instant::now()))).await {}

        assert_eq!(last.elapsed(), LONGEST_MADE);
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_told_does_not_wait_on() {
        let waits = Waits::new(Gauge::default());
        let start = Instant::now();

        assert!(waits.begin().unwrap().pause(ready(())).await);
        assert!(waits.begin_made().unwrap().pause_while_busy(ready(()), || None).await);

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
