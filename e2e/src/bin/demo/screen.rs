//! What the demo looks like: headings, commands, their output. Colours on a terminal only.

use std::env;
use std::io::{self, IsTerminal, Write};

use tracing_subscriber::EnvFilter;

const BOLD: &str = "\x1b[1m";
const CYAN: &str = "\x1b[36m";
const PLAIN: &str = "\x1b[0m";

/// The story goes to stdout; the log to stderr, and only what is amiss (`RUST_LOG` asks for more).
pub(crate) fn log_warnings_only() {
    let usual = "warn,kube_client::client::builder=off";
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(usual));
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_target(false).without_time();
    // Fails only if somebody else has begun to log.
    let _ = log.with_ansi(io::stderr().is_terminal()).with_writer(io::stderr).try_init();
}

pub(crate) struct Screen {
    out: Box<dyn Write + Send>,
    colours: bool,
}

impl Screen {
    pub(crate) fn stdout() -> Screen {
        let unwanted = env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let out = io::stdout();
        Screen { colours: out.is_terminal() && !unwanted, out: Box::new(out) }
    }

    /// Nobody looks.
    #[cfg(test)]
    pub(crate) fn dark() -> Screen {
        Screen { colours: false, out: Box::new(io::sink()) }
    }

    pub(crate) fn title(&mut self, text: &str) -> io::Result<()> {
        self.line(BOLD, text)
    }

    pub(crate) fn heading(&mut self, text: &str) -> io::Result<()> {
        self.say("")?;
        self.line(BOLD, text)
    }

    pub(crate) fn say(&mut self, text: &str) -> io::Result<()> {
        self.line("", text)
    }

    /// What one should notice.
    pub(crate) fn note(&mut self, text: &str) -> io::Result<()> {
        self.say(&format!("→ {text}"))
    }

    /// A command as one would type it.
    pub(crate) fn command(&mut self, words: &[&str]) -> io::Result<()> {
        let words: Vec<String> = words.iter().map(|word| shell_word(word)).collect();
        self.line(CYAN, &format!("$ kubectl {}", words.join(" ")))
    }

    pub(crate) fn output(&mut self, text: &str) -> io::Result<()> {
        self.line("", text.trim_end())
    }

    fn line(&mut self, style: &str, text: &str) -> io::Result<()> {
        match style {
            style if self.colours && !style.is_empty() => writeln!(self.out, "{style}{text}{PLAIN}")?,
            _ => writeln!(self.out, "{text}")?,
        }
        self.out.flush()
    }
}

/// Quoted if the shell would take it apart.
pub(crate) fn shell_word(text: &str) -> String {
    if !text.is_empty() && text.chars().all(|c| c.is_alphanumeric() || "/._-+@%:,=".contains(c)) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_can_be_typed_as_it_is_shown() {
        assert_eq!(shell_word("hpc/echo-web"), "hpc/echo-web");
        assert_eq!(shell_word("jsonpath={.status}"), "'jsonpath={.status}'");
        assert_eq!(shell_word("it's"), r"'it'\''s'");
    }
}
