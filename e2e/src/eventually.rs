//! Waiting for a condition, the only way this crate waits: poll until it holds or the deadline has passed, and then say
//! what was waited for and what was seen last.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_millis(500);

/// Polls `condition` until it gives `Ok`, for at most `deadline`. An `Err` means "not yet" and says what was seen instead:
/// inside the condition use `?` and `anyhow::ensure!(phase == "Bound", "phase is {phase}")`.
///
/// `what` completes the sentence "gave up waiting for …".
pub async fn eventually<T, F, Fut>(deadline: Duration, what: &str, mut condition: F) -> Result<T>
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Result<T>>,
{
    let start = Instant::now();
    let mut pause = FIRST_PAUSE;
    let mut last_seen = String::from("nothing: the first look at it did not end in time");

    loop {
        // A look gets the time that is left: one that hangs must not hang us.
        let left = deadline.saturating_sub(start.elapsed());
        match tokio::time::timeout(left, condition()).await {
            Ok(Ok(value)) => return Ok(value),
            Ok(Err(not_yet)) => last_seen = format!("{not_yet:#}"),
            Err(_) => {}
        }
        let left = deadline.saturating_sub(start.elapsed());
        if left.is_zero() {
            bail!("gave up waiting for {what} after {deadline:?}; last seen: {last_seen}");
        }
        tokio::time::sleep(pause.min(left)).await;
        pause = (pause * 3 / 2).min(LONGEST_PAUSE);
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use anyhow::ensure;

    use super::*;

    #[tokio::test]
    async fn a_condition_that_comes_true_gives_its_value() {
        let looks = Cell::new(0);

        let value = eventually(Duration::from_secs(5), "the third look", || async {
            looks.set(looks.get() + 1);
            ensure!(looks.get() == 3, "look {}", looks.get());
            Ok("seen")
        })
        .await;

        assert_eq!(value.unwrap(), "seen");
    }

    #[tokio::test]
    async fn a_timeout_names_the_condition_and_what_was_seen_last() {
        let result: Result<()> = eventually(Duration::from_millis(50), "a claim to be Bound", || async {
            bail!("phase is Pending")
        })
        .await;

        let error = result.unwrap_err().to_string();
        assert!(error.contains("a claim to be Bound") && error.contains("phase is Pending"), "{error}");
    }

    #[tokio::test]
    async fn a_look_that_never_ends_does_not_outlive_the_deadline() {
        let result: Result<()> =
            eventually(Duration::from_millis(50), "an answer", std::future::pending::<Result<()>>).await;

        assert!(result.unwrap_err().to_string().contains("an answer"));
    }
}
