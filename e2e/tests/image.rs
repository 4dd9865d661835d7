//! Images: what is built anew, elsewhere, is the same to the last byte.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use anyhow::{Result, ensure};
use e2e::image::{self, StaticProgram};

#[test]
fn an_image_built_twice_from_nothing_has_one_digest() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let build = |folder: &str| -> Result<String> {
        let echo = StaticProgram { package: "echo", profile: "quick", auditable: false }
            .build_in(&dir.path().join(folder))?;
        image::echo().write(&echo, &dir.path().join(format!("{folder}.tar")))
    };

    let (first, second) = (build("here")?, build("somewhere-else")?);

    ensure!(first == second && first.starts_with("sha256:"), "{first} and {second}");
    ensure!(
        std::fs::read(dir.path().join("here.tar"))? == std::fs::read(dir.path().join("somewhere-else.tar"))?
    );
    Ok(())
}

#[test]
fn a_program_says_of_which_crates_it_was_made() -> Result<()> {
    let dir = tempfile::tempdir()?;

    let echo = StaticProgram { package: "echo", profile: "quick", auditable: true }.build_in(dir.path())?;

    // The section that scanners look for.
    let bytes = std::fs::read(&echo)?;
    ensure!(bytes.windows(7).any(|window| window == b".dep-v0"), "it says nothing");
    Ok(())
}

#[test]
fn the_program_of_an_image_needs_no_library_and_names_no_folder_of_this_machine() -> Result<()> {
    let echo = StaticProgram { package: "echo", profile: "quick", auditable: false }.build()?;

    let bytes = std::fs::read(&echo)?;
    ensure!(std::fs::metadata(&echo)?.permissions().mode() & 0o111 != 0, "it cannot be run");
    let has = |text: &str| bytes.windows(text.len()).any(|window| window == text.as_bytes());
    ensure!(!has("/lib64/ld-linux") && !has("/lib/ld-musl"), "it asks for a dynamic linker");
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace has a folder");
    ensure!(!has(&workspace.display().to_string()), "it names {}", workspace.display());
    // Without a port it says what to do instead.
    let output = Command::new(&echo).arg("none").output()?;
    let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(!output.status.success() && complaint.contains("echo 8080"), "{complaint}");
    Ok(())
}
