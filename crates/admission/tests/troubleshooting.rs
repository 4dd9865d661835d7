//! docs/troubleshooting.md has an entry for each reason of a claim and for each sentence that refuses a pod.

use crds::Reason;

const PAGE: &str = include_str!("../../../docs/troubleshooting.md");
const REFUSALS: [&str; 2] = [include_str!("../src/refusal.rs"), include_str!("../src/refusal/fleets.rs")];

/// The code in the first column of a section's table.
fn entries(section: &str) -> Vec<&'static str> {
    let (_, rest) = PAGE.split_once(section).expect("the page has the section");
    let rest = rest.split("\n## ").next().unwrap_or_default();
    let columns = rest.lines().filter_map(|line| line.strip_prefix("| ")?.split(" | ").next());
    columns.flat_map(|column| column.split('`').skip(1).step_by(2)).collect()
}

/// The sentences behind `#[error(` of a source file, as one line each.
fn sentences(source: &str) -> Vec<String> {
    let sentences = source.split("#[error(").skip(1).filter_map(|rest| {
        let (_, text) = rest.split_once('"').filter(|(before, _)| before.trim().is_empty())?;
        let mut ends = text.match_indices('"').filter(|(at, _)| !text[..*at].ends_with('\\'));
        let text = text[..ends.next()?.0].replace("\\\"", "\"");
        Some(text.split("\\\n").map(str::trim_start).collect())
    });
    sentences.collect()
}

/// Whether the sentence has all that the entry says, in this order, but for what stands for something else: `…`, `N`,
/// `REASON`, numbers.
fn tells(entry: &str, sentence: &str) -> bool {
    let words = entry.split([' ', '"', '-', '(', ')', ',', ';']);
    let said: Vec<_> =
        words.filter(|word| word.contains(char::is_lowercase) && !word.contains('…')).collect();
    let mut rest = sentence;
    !said.is_empty()
        && said.iter().all(|word| {
            let found = rest.split_once(word);
            rest = found.map_or("", |(_, behind)| behind);
            found.is_some()
        })
}

#[test]
fn each_reason_has_an_entry() {
    let entries = entries("## A claim is not Ready: by reason");
    let reasons = Reason::ALL.into_iter().filter(|reason| *reason != Reason::Bound);

    let missing: Vec<_> = reasons.filter(|reason| !entries.contains(&reason.as_str())).collect();
    assert!(missing.is_empty(), "not in docs/troubleshooting.md: {missing:?}");
}

#[test]
fn each_sentence_that_refuses_a_pod_has_an_entry() {
    let entries = entries("## A pod is refused: by sentence");
    let all: Vec<_> = REFUSALS.into_iter().flat_map(sentences).collect();

    assert!(all.len() > 35 && entries.len() > 35, "{} sentences, {} entries", all.len(), entries.len());
    // Nobody meets it: pods have a namespace.
    let real = all.iter().filter(|sentence| !sentence.starts_with("the request names no namespace"));
    let missing: Vec<_> =
        real.filter(|sentence| !entries.iter().any(|entry| tells(entry, sentence))).collect();
    assert!(missing.is_empty(), "not in docs/troubleshooting.md: {missing:#?}");
}
