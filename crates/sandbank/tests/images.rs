//! Images on the command line, without a server: what is loaded can be listed, renamed and removed.

#![allow(clippy::unwrap_used)] // here a panic is the answer

use std::path::Path;
use std::process::{Command, Output};

use tempfile::TempDir;

fn image(data: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sandbank"));
    command.env_clear().arg("image").args(args).arg("--data-dir").arg(data);
    command.output().unwrap()
}

fn listed(data: &Path) -> Vec<String> {
    let output = image(data, &["list", "-o", "json"]);
    let images: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let images = images.as_array().unwrap().iter();
    let names = images.flat_map(|i| i["names"].as_array().unwrap().clone());
    names.map(|n| n.as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_folder_becomes_an_image_gets_a_second_name_and_goes() {
    let home = TempDir::new().unwrap();
    let (data, root) = (home.path().join("data"), home.path().join("root"));
    std::fs::create_dir(&root).unwrap();
    std::fs::write(root.join("hello"), "hello\n").unwrap();

    let loaded = image(&data, &["load", root.to_str().unwrap(), "--name", "mine:1"]);
    assert!(loaded.status.success(), "{}", String::from_utf8_lossy(&loaded.stderr));
    let tagged = image(&data, &["tag", "mine:1", "example.test/other:2"]);
    assert!(tagged.status.success(), "{}", String::from_utf8_lossy(&tagged.stderr));
    let names = listed(&data);
    assert_eq!(names[0], "host:latest");
    for name in ["mine:1", "example.test/other:2"] {
        assert!(names.iter().any(|n| n.ends_with(name)), "{name} is not among {names:?}");
    }

    let removed = image(&data, &["rm", "mine:1", "example.test/other:2"]);
    assert!(removed.status.success(), "{}", String::from_utf8_lossy(&removed.stderr));
    assert_eq!(listed(&data), ["host:latest"]);
}

#[test]
fn an_image_that_is_not_here_is_not_found() {
    let home = TempDir::new().unwrap();
    for args in [&["rm", "nobody:1"][..], &["tag", "nobody:1", "b"]] {
        let output = image(home.path(), args);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(3), "{said}");
        assert!(said.contains("nobody:1") && said.contains("sandbank image list"), "{said}");
    }
}

#[test]
fn looking_at_images_makes_no_data_directory() {
    let home = TempDir::new().unwrap();
    let data = home.path().join("data");
    let output = image(&data, &["list"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(3), "{said}");
    assert!(said.contains("data not found") && said.contains("sandbank up"), "{said}");
    assert!(!data.exists());
}

#[test]
fn the_built_in_image_stays() {
    let home = TempDir::new().unwrap();
    let output = image(home.path(), &["rm", "host"]);
    assert_eq!(output.status.code(), Some(6), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(listed(home.path()), ["host:latest"]);
}

#[test]
fn a_file_that_is_no_image_is_refused_by_name() {
    let home = TempDir::new().unwrap();
    let file = home.path().join("notes.txt");
    std::fs::write(&file, "not an archive").unwrap();
    let output = image(&home.path().join("data"), &["load", file.to_str().unwrap()]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(6), "{said}");
    assert!(said.contains("notes.txt"), "{said}");
}
