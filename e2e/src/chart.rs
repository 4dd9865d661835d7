//! The chart: where it is, what it renders to, and its generated files (`cargo chart`). What comes from the binary is
//! copied, never written twice: definitions, webhook configurations. The table of values comes from their comments, that of
//! rights from the roles.

mod rights;
mod values;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::helm::Helm;
use crate::operator;

pub use rights::{Right, rights};
pub use values::{Row, rows};

/// Where the chart is installed unless somebody says otherwise: documentation and plain manifests name it.
pub const NAMESPACE: &str = "hostport-system";

/// The ServiceAccounts of the two Deployments.
pub const ACCOUNTS: [&str; 2] = ["hostport-controller", "hostport-admission"];

/// A file or folder of this repository.
pub fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

/// The chart's folder.
pub fn dir() -> PathBuf {
    repository("charts/hostport")
}

/// `helm template` with these further arguments, as text.
pub fn template(helm: &Helm, args: &[&str]) -> Result<String> {
    let dir = dir().display().to_string();
    helm.run(None, &[&["template", "hostport", &dir, "--namespace", NAMESPACE], args].concat())
}

/// The objects in it.
pub fn objects(yaml: &str) -> Result<Vec<Value>> {
    let parse = |document| serde_yaml_ng::from_str::<Value>(document).context("parse what helm rendered");
    let documents = yaml.split("\n---").map(|document| document.trim_start_matches("---"));
    let objects: Result<Vec<Value>> = documents.map(parse).collect();
    Ok(objects?.into_iter().filter(|object| !object.is_null()).collect())
}

/// All generated files of the chart and of the plain manifests, as they should be.
pub async fn generated(helm: &Helm) -> Result<Vec<(PathBuf, String)>> {
    let mut files = Vec::new();

    let crds = tempfile::tempdir()?;
    operator::printed(&["crds", "--dir", &crds.path().display().to_string()]).await?;
    for file in fs::read_dir(crds.path())? {
        let file = file?;
        let copy = dir().join("files/crds").join(file.file_name());
        files.push((copy, fs::read_to_string(file.path())?));
    }
    let service = format!("{NAMESPACE}/hostport-admission");
    let webhooks = operator::printed(&["webhooks", "--webhook-service", &service]).await?;
    files.push((dir().join("files/webhooks.yaml"), webhooks));

    let values = values::table(&rows(&fs::read_to_string(dir().join("values.yaml"))?)?);
    files.push(with_part(dir().join("README.md"), "values", &values)?);

    let rendered = template(helm, &["--no-hooks", "--set", "crds.install=false"])?;
    let objects = objects(&rendered)?;
    let of = |account: &str| format!("`{account}`:\n\n{}", rights::table(&rights(&objects, account)));
    let rights = ACCOUNTS.map(of).join("\n");
    files.push(with_part(repository("docs/security.md"), "rights", &rights)?);

    files.push((repository("config/default/hostport.yaml"), plain(&rendered)));
    Ok(files)
}

/// What `kubectl apply` is given instead of a release of Helm. Without the definitions, which are in `crds/`: who deletes these
/// manifests must not delete all claims with them.
fn plain(rendered: &str) -> String {
    let note = "# Written by `cargo chart` from charts/hostport with its default values. Change it by a patch in an overlay.\n";
    let lines = rendered.lines().filter(|line| !line.trim_start().starts_with("helm.sh/chart:"));
    let lines = lines
        .map(|line| line.replace("managed-by: Helm", "managed-by: kubectl").trim_end().to_owned() + "\n");
    note.to_owned() + &lines.collect::<String>()
}

/// A file with what stands between two comments in it replaced.
fn with_part(file: PathBuf, part: &str, text: &str) -> Result<(PathBuf, String)> {
    let (begin, end) =
        (format!("<!-- {part}: written by `cargo chart` -->\n"), format!("<!-- end of {part} -->\n"));
    let old = fs::read_to_string(&file).with_context(|| format!("read {}", file.display()))?;
    let around = old.split_once(&begin).and_then(|(before, rest)| Some((before, rest.split_once(&end)?.1)));
    let (before, after) = around.with_context(|| format!("{} has no place for {part}", file.display()))?;
    let new = format!("{before}{begin}\n{text}\n{end}{after}");
    Ok((file, new))
}

/// Names the generated files that are not as they should be.
pub fn outdated(files: &[(PathBuf, String)]) -> Result<()> {
    let differs = |(path, text): &&(PathBuf, String)| fs::read_to_string(path).ok().as_ref() != Some(text);
    let names: Vec<String> =
        files.iter().filter(differs).map(|(path, _)| path.display().to_string()).collect();
    ensure!(names.is_empty(), "out of date: {}. Write them anew: cargo chart", names.join(", "));
    Ok(())
}
