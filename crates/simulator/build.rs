//! Weaves the wrong variants of `tests/flaws/table.rs` into a copy of the core, each behind a switch, and writes the
//! modules of which `tests/flaws/main.rs` is made. Nothing of it is in the library.

use std::{collections::BTreeMap, env, fs, io, path::Path};

#[path = "tests/flaws/table.rs"]
#[expect(dead_code, reason = "pairs are for main.rs")]
mod table;

use table::{FLAWS, Flaw};

/// The switches; whoever plays chooses by thread.
const SWITCH: &str = "
use std::cell::Cell;

thread_local! {
    static ON: Cell<[usize; 2]> = const { Cell::new([usize::MAX; 2]) };
}

/// One of them, or two: then they differ.
pub fn set(flaws: [usize; 2]) {
    ON.set(flaws);
}

pub fn is(flaw: usize) -> bool {
    ON.get().contains(&flaw)
}
";

fn main() -> io::Result<()> {
    let here = env::var("CARGO_MANIFEST_DIR").expect("cargo tells where the package is");
    let out = env::var("OUT_DIR").expect("cargo tells where to write");
    let (core, out) = (Path::new(&here).join("../reconciler/src"), Path::new(&out));
    println!("cargo::rerun-if-changed={}", core.display());
    println!("cargo::rerun-if-changed=tests/flaws/table.rs");
    println!("cargo::rerun-if-changed=src");

    let woven = out.join("woven");
    let mut missing = Vec::new();
    let mut copied = vec!["action.rs".to_owned()];
    for folder in ["core", "seen", "text"] {
        files(&core, folder, &mut copied)?;
    }
    for file in copied {
        let text = weave(&file, fs::read_to_string(core.join(&file))?, &mut missing);
        let to = woven.join(&file);
        fs::create_dir_all(to.parent().unwrap_or(out))?;
        fs::write(to, text)?;
    }
    let unknown = FLAWS.iter().filter(|flaw| !woven.join("core").join(flaw.file).is_file());
    missing.extend(unknown.map(|flaw| flaw.name));
    fs::write(woven.join("flaw.rs"), SWITCH)?;

    let mut modules = vec![
        module("flaw", &woven.join("flaw.rs")),
        module("action", &woven.join("action.rs")),
        module("seen", &woven.join("seen/mod.rs")),
        module("text", &woven.join("text/mod.rs")),
        module("core", &woven.join("core/mod.rs")),
    ];
    for entry in fs::read_dir(Path::new(&here).join("src"))? {
        let path = entry?.path();
        let name = path.file_stem().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
        let file = if path.is_dir() { path.join("mod.rs") } else { path };
        if file.is_file() && !["lib", "stories"].contains(&name.as_str()) {
            modules.push(module(&name, &file));
        }
    }
    // Two rooms of the stories, without the other stories.
    let stories = ["drive", "guards"].map(|name| {
        module(name, &Path::new(&here).join(format!("src/stories/{name}.rs"))).replace("mod ", "pub mod ")
    });
    modules.push(format!("mod stories {{\n{}}}\n", stories.concat()));
    let missing = format!("/// Their text was not found once.\npub const MISSING: &[&str] = &{missing:?};\n");
    fs::write(out.join("flawed.rs"), modules.concat() + &missing)
}

/// The Rust files below a folder, by their paths from the root.
fn files(root: &Path, folder: &str, found: &mut Vec<String>) -> io::Result<()> {
    for entry in fs::read_dir(root.join(folder))? {
        let entry = entry?;
        let path = format!("{folder}/{}", entry.file_name().to_string_lossy());
        if entry.file_type()?.is_dir() {
            files(root, &path, found)?;
        } else {
            found.push(path);
        }
    }
    Ok(())
}

fn module(name: &str, path: &Path) -> String {
    format!(
        "#[path = {:?}]\n#[allow(warnings, missing_docs, clippy::all)]\nmod {name};\n",
        path.display().to_string()
    )
}

/// Puts all flaws of a file in. One whose text is not there exactly once is left out and named.
fn weave(file: &str, mut text: String, missing: &mut Vec<&'static str>) -> String {
    let here = FLAWS.iter().enumerate().filter(|(_, flaw)| file == format!("core/{}", flaw.file));
    let mut spots: BTreeMap<&str, Vec<(usize, &Flaw)>> = BTreeMap::new();
    here.for_each(|(number, flaw)| spots.entry(flaw.find).or_default().push((number, flaw)));
    for (find, flaws) in spots {
        let (before, rest) = find.split_once('«').unwrap_or(("", find));
        let (right, after) = rest.split_once('»').unwrap_or((rest, ""));
        let find = format!("{before}{right}{after}");
        if text.matches(&find).count() == 1 {
            text = text.replacen(&find, &format!("{before}{}{after}", switched(right, &flaws)), 1);
        } else {
            missing.extend(flaws.iter().map(|(_, flaw)| flaw.name));
        }
    }
    text
}

/// What is right, unless one of these flaws is on.
fn switched(right: &str, flaws: &[(usize, &Flaw)]) -> String {
    let wrong = flaws.iter().map(|(number, Flaw { name, wrong, .. })| {
        format!("if crate::flaw::is({number}) {{ /* {name} */ {wrong} }} else ")
    });
    let choice = format!("{}{{ {right} }}", wrong.collect::<String>());
    if right.ends_with(';') { choice } else { format!("({choice})") }
}
