//! How far a build is: on a terminal one line that changes, elsewhere a line every half minute.

use std::collections::VecDeque;
use std::io::IsTerminal;
use std::time::{Duration, Instant};

/// How much of go's output an error shows.
const KEPT_LINES: usize = 20;

/// What go has said so far.
pub(super) struct Progress {
    start: Instant,
    terminal: bool,
    packages: usize,
    downloads: usize,
    last: VecDeque<String>,
    shown: Option<Instant>,
}

impl Progress {
    pub(super) fn new(start: Instant) -> Progress {
        let terminal = std::io::stderr().is_terminal();
        Progress { start, terminal, packages: 0, downloads: 0, last: VecDeque::new(), shown: None }
    }

    pub(super) fn line(&mut self, line: String) {
        if line.starts_with("go: downloading") {
            self.downloads += 1;
        } else if !line.contains(' ') {
            self.packages += 1;
        }
        if self.last.len() == KEPT_LINES {
            self.last.pop_front();
        }
        self.last.push_back(line);
    }

    pub(super) fn show(&mut self) {
        let pause = if self.terminal { Duration::from_millis(200) } else { Duration::from_secs(30) };
        if self.shown.is_some_and(|shown| shown.elapsed() < pause) {
            return;
        }
        self.shown = Some(Instant::now());
        let now = self.last.back().map_or("go is looking at what is there", String::as_str);
        let line = format!(
            "  {}  {} modules downloaded, {} packages compiled; {now}",
            minutes(self.start.elapsed()),
            self.downloads,
            self.packages
        );
        if self.terminal {
            // Cut, so that it stays one line on a terminal of usual width.
            eprint!("\r\x1b[2K{}", line.chars().take(110).collect::<String>());
        } else {
            eprintln!("{line}");
        }
    }

    pub(super) fn clear(&self) {
        if self.terminal {
            eprint!("\r\x1b[2K");
        }
    }

    pub(super) fn tail(&self) -> String {
        self.last.iter().map(String::as_str).collect::<Vec<_>>().join("\n")
    }
}

/// `4m08s`
pub(super) fn minutes(time: Duration) -> String {
    format!("{}m{:02}s", time.as_secs() / 60, time.as_secs() % 60)
}
