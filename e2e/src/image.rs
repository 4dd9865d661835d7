//! Container images without a container engine: one static program becomes an OCI archive that `ctr images import`,
//! `podman load` and `skopeo copy oci-archive:` read. The same program always gives the same bytes.

mod program;

use std::collections::BTreeMap;
use std::env::consts::ARCH;
use std::fs;
use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result};
use flate2::{Compression, GzBuilder};
use ring::digest::{SHA256, digest};
use serde_json::{Value, json};
use tar::{EntryType, Header};

pub use program::StaticProgram;

/// Nobody on the node: what the program writes or breaks into is not root's.
const USER: &str = "65532:65532";

const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

/// An image that holds one program and nothing else: no shell, no libraries.
#[derive(Debug, Clone)]
pub struct Image<'a> {
    /// All names it is imported under, each in full: `registry.example.com/hostport:0.1.0`.
    pub names: &'a [&'a str],
    /// What it is called inside: `hostport` is at `/hostport`, and runs.
    pub command: &'a str,
    /// What it is told if the pod says nothing.
    pub arguments: &'a [&'a str],
    /// What people see of it, such as `org.opencontainers.image.version`.
    pub labels: &'static [(&'static str, &'static str)],
}

/// How the image of this version is called unless somebody says otherwise: in full what the chart calls `hostport`.
pub fn default_name() -> String {
    format!("docker.io/library/hostport:{}", env!("CARGO_PKG_VERSION"))
}

/// The image of hostport.
pub fn hostport<'a>(names: &'a [&'a str]) -> Image<'a> {
    Image {
        names,
        command: "hostport",
        arguments: &[],
        labels: &[
            ("org.opencontainers.image.title", "hostport"),
            ("org.opencontainers.image.description", "Claims for the network ports of nodes"),
            ("org.opencontainers.image.version", env!("CARGO_PKG_VERSION")),
            ("org.opencontainers.image.licenses", env!("CARGO_PKG_LICENSE")),
        ],
    }
}

/// The image of what tests run (`e2e/echo`), also under the name of the one that the examples say: it answers on the same
/// port.
pub fn echo() -> Image<'static> {
    Image {
        names: &["hostport.test/echo:1", "registry.k8s.io/echoserver:1.10"],
        command: "echo",
        arguments: &["8080"],
        labels: &[],
    }
}

/// The same program, told to do nothing but to hold the namespaces of a pod.
pub fn pause<'a>(names: &'a [&'a str]) -> Image<'a> {
    Image { names, command: "echo", arguments: &["pause"], labels: &[] }
}

/// A file of the archive that is named after its content.
struct Blob {
    media_type: &'static str,
    content: Vec<u8>,
}

impl Image<'_> {
    /// Writes the archive of this program; returns the digest of the image, `sha256:…`.
    pub fn write(&self, program: &Path, archive: &Path) -> Result<String> {
        let content = fs::read(program).with_context(|| format!("read {}", program.display()))?;
        let (bytes, digest) = self.assemble(&content)?;
        if let Some(dir) = archive.parent() {
            fs::create_dir_all(dir)?;
        }
        fs::write(archive, bytes).with_context(|| format!("write {}", archive.display()))?;
        Ok(digest)
    }

    /// The archive and the digest of the image in it.
    fn assemble(&self, program: &[u8]) -> Result<(Vec<u8>, String)> {
        let files = tar(&[(self.command, 0o755, program)])?;
        let config = Blob::json(CONFIG, &self.config(&sha256(&files)));
        let layer = Blob { media_type: LAYER, content: gzip(&files)? };
        let manifest = Blob::json(
            MANIFEST,
            &json!({
                "schemaVersion": 2,
                "mediaType": MANIFEST,
                "config": config.descriptor(),
                "layers": [layer.descriptor()],
            }),
        );
        let index = json!({
            "schemaVersion": 2,
            "mediaType": INDEX,
            "manifests": self.names.iter().map(|name| named(&manifest, name)).collect::<Vec<_>>(),
        });

        let mut blobs = [&config, &layer, &manifest].map(|blob| (blob.path(), blob.content.as_slice()));
        blobs.sort();
        let layout = json!({ "imageLayoutVersion": "1.0.0" }).to_string();
        let index = index.to_string();
        let mut entries =
            vec![("oci-layout", 0o644, layout.as_bytes()), ("index.json", 0o644, index.as_bytes())];
        entries.extend(blobs.iter().map(|(path, content)| (path.as_str(), 0o644, *content)));
        Ok((tar(&entries)?, manifest.digest()))
    }

    fn config(&self, layer: &str) -> Value {
        json!({
            "architecture": architecture(),
            "os": "linux",
            "config": {
                "User": USER,
                "Entrypoint": [format!("/{}", self.command)],
                "Cmd": self.arguments,
                "WorkingDir": "/",
                "Labels": self.labels.iter().copied().collect::<BTreeMap<_, _>>(),
            },
            "rootfs": { "type": "layers", "diff_ids": [layer] },
        })
    }
}

impl Blob {
    fn json(media_type: &'static str, value: &Value) -> Blob {
        Blob { media_type, content: value.to_string().into_bytes() }
    }

    fn digest(&self) -> String {
        sha256(&self.content)
    }

    fn path(&self) -> String {
        format!("blobs/{}", self.digest().replace(':', "/"))
    }

    fn descriptor(&self) -> Value {
        json!({ "mediaType": self.media_type, "digest": self.digest(), "size": self.content.len() })
    }
}

/// The manifest under a name. containerd reads the whole name, others the tag.
fn named(manifest: &Blob, name: &str) -> Value {
    let tag = name.rsplit_once(':').map_or("latest", |(_, tag)| tag);
    let mut descriptor = manifest.descriptor();
    descriptor["platform"] = json!({ "architecture": architecture(), "os": "linux" });
    descriptor["annotations"] =
        json!({ "io.containerd.image.name": name, "org.opencontainers.image.ref.name": tag });
    descriptor
}

/// As Go, and so all registries, call this machine.
fn architecture() -> &'static str {
    match ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// Files of nobody and of no time.
fn tar(entries: &[(&str, u32, &[u8])]) -> Result<Vec<u8>> {
    let mut tar = tar::Builder::new(Vec::new());
    for (path, mode, content) in entries {
        let mut header = Header::new_ustar();
        header.set_entry_type(EntryType::Regular);
        header.set_mode(*mode);
        header.set_size(content.len() as u64);
        header.set_mtime(0);
        header.set_uid(0);
        header.set_gid(0);
        tar.append_data(&mut header, path, *content)?;
    }
    Ok(tar.into_inner()?)
}

fn gzip(bytes: &[u8]) -> Result<Vec<u8>> {
    let mut gzip = GzBuilder::new().mtime(0).write(Vec::new(), Compression::best());
    gzip.write_all(bytes)?;
    Ok(gzip.finish()?)
}

fn sha256(bytes: &[u8]) -> String {
    let hex: String = digest(&SHA256, bytes).as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use flate2::read::GzDecoder;

    use super::*;

    const IMAGE: Image<'_> = Image {
        names: &["registry.example.com/tool:1.2", "example.com/other:3"],
        command: "tool",
        arguments: &["serve"],
        labels: &[("org.opencontainers.image.version", "1.2")],
    };

    /// Path, mode and content of each file of a tar.
    fn files(tar: &[u8]) -> BTreeMap<String, (u32, Vec<u8>)> {
        let mut archive = tar::Archive::new(tar);
        let entries = archive.entries().unwrap().map(|entry| {
            let mut entry = entry.unwrap();
            let path = entry.path().unwrap().display().to_string();
            let mut content = Vec::new();
            entry.read_to_end(&mut content).unwrap();
            (path, (entry.header().mode().unwrap(), content))
        });
        entries.collect()
    }

    /// The blob that a descriptor speaks of, as long and with the digest as it says.
    fn blob(files: &BTreeMap<String, (u32, Vec<u8>)>, descriptor: &Value) -> Vec<u8> {
        let digest = descriptor["digest"].as_str().unwrap();
        let content = files[&format!("blobs/{}", digest.replace(':', "/"))].1.clone();
        assert_eq!(sha256(&content), digest);
        assert_eq!(descriptor["size"], content.len());
        content
    }

    #[test]
    fn an_archive_leads_from_each_name_to_the_program() {
        let (archive, digest) = IMAGE.assemble(b"the program").unwrap();

        let all = files(&archive);
        assert_eq!(all["oci-layout"].1, br#"{"imageLayoutVersion":"1.0.0"}"#);
        let index: Value = serde_json::from_slice(&all["index.json"].1).unwrap();
        for (entry, name) in index["manifests"].as_array().unwrap().iter().zip(IMAGE.names) {
            assert_eq!(entry["annotations"]["io.containerd.image.name"], *name);
            assert_eq!(entry["digest"], digest);
        }
        assert_eq!(index["manifests"][0]["annotations"]["org.opencontainers.image.ref.name"], "1.2");
        let manifest: Value = serde_json::from_slice(&blob(&all, &index["manifests"][1])).unwrap();
        let config: Value = serde_json::from_slice(&blob(&all, &manifest["config"])).unwrap();
        assert_eq!(config["config"]["User"], USER);
        assert_eq!(config["config"]["Entrypoint"], json!(["/tool"]));
        assert_eq!(config["config"]["Cmd"], json!(["serve"]));
        let mut layer = Vec::new();
        let zipped = blob(&all, &manifest["layers"][0]);
        GzDecoder::new(zipped.as_slice()).read_to_end(&mut layer).unwrap();
        assert_eq!(config["rootfs"]["diff_ids"], json!([sha256(&layer)]));
        assert_eq!(files(&layer), BTreeMap::from([("tool".to_owned(), (0o755, b"the program".to_vec()))]));
    }

    #[test]
    fn the_same_program_gives_the_same_bytes_and_another_one_another_digest() {
        let (first, digest) = IMAGE.assemble(b"the program").unwrap();
        let (second, _) = IMAGE.assemble(b"the program").unwrap();
        let (_, other) = IMAGE.assemble(b"another program").unwrap();

        assert_eq!(first, second);
        assert_ne!(digest, other);
    }
}
