//! A folder of credentials over the years, and what happens to it.

use std::{
    collections::BTreeMap,
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt,
};

use jiff::SignedDuration;

use super::*;

const DAY: SignedDuration = SignedDuration::from_hours(24);

fn now() -> Timestamp {
    "2030-05-01T12:00:00Z".parse().unwrap()
}

/// What each file of the folder holds.
fn files(dir: &Path) -> BTreeMap<String, String> {
    fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap())
        .map(|entry| {
            let name = entry.file_name().into_string().unwrap();
            (name, fs::read_to_string(entry.path()).unwrap())
        })
        .collect()
}

/// The names of the files that differ.
fn changed(before: &BTreeMap<String, String>, after: &BTreeMap<String, String>) -> Vec<String> {
    assert!(before.keys().eq(after.keys()), "files appeared or vanished");
    before.keys().filter(|name| before[*name] != after[*name]).cloned().collect()
}

fn damage(dir: &Path, names: &[HostName]) -> String {
    match Credentials::open(dir, names, now()) {
        Ok(_) => panic!("the damage went unnoticed"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn the_first_start_makes_private_files_and_later_starts_keep_them() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("pki");
    Credentials::open(&dir, &[], now()).unwrap();

    let first = files(&dir);
    let names: Vec<&str> = first.keys().map(String::as_str).collect();
    assert_eq!(
        names,
        ["admin.crt", "admin.key", "admin.token", "ca.crt", "ca.key", "server.crt", "server.key"]
    );
    assert_eq!(fs::metadata(&dir).unwrap().permissions().mode() & 0o777, 0o700);
    for name in names {
        let mode = fs::metadata(dir.join(name)).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{name}");
    }

    Credentials::open(&dir, &[], now() + DAY * 200).unwrap();
    assert_eq!(files(&dir), first);
}

#[test]
fn leaf_certificates_are_renewed_before_they_end_and_the_authority_stays() {
    let dir = tempfile::tempdir().unwrap();
    Credentials::open(dir.path(), &[], now()).unwrap();
    let first = files(dir.path());

    Credentials::open(dir.path(), &[], now() + DAY * 330).unwrap();
    let renewed = ["admin.crt", "admin.key", "server.crt", "server.key"];
    assert_eq!(changed(&first, &files(dir.path())), renewed);
}

#[test]
fn an_authority_at_its_end_is_replaced_with_all_it_signed() {
    let dir = tempfile::tempdir().unwrap();
    Credentials::open(dir.path(), &[], now()).unwrap();
    let first = files(dir.path());

    Credentials::open(dir.path(), &[], now() + DAY * 365 * 10).unwrap();
    let replaced = ["admin.crt", "admin.key", "ca.crt", "ca.key", "server.crt", "server.key"];
    assert_eq!(changed(&first, &files(dir.path())), replaced);
}

#[test]
fn a_new_name_renews_the_serving_certificate_alone() {
    let dir = tempfile::tempdir().unwrap();
    Credentials::open(dir.path(), &[], now()).unwrap();
    let first = files(dir.path());

    let names = ["10.1.2.3".parse().unwrap(), "box.example".parse().unwrap()];
    let credentials = Credentials::open(dir.path(), &names, now()).unwrap();
    assert_eq!(changed(&first, &files(dir.path())), ["server.crt", "server.key"]);
    credentials.authority.check_server(&credentials.server, &names, now()).unwrap();
    let other = ["other.example".parse().unwrap()];
    assert!(credentials.authority.check_server(&credentials.server, &other, now()).is_err());
}

#[test]
fn a_damaged_leaf_is_renewed_and_a_foreign_one_too() {
    let dir = tempfile::tempdir().unwrap();
    Credentials::open(dir.path(), &[], now()).unwrap();

    for damaged in ["server.crt", "server.key", "admin.crt", "admin.key"] {
        fs::write(dir.path().join(damaged), "rubbish").unwrap();
        let credentials = Credentials::open(dir.path(), &[], now()).unwrap();
        credentials.server_config().unwrap();
    }
    // The admin's certificate must not serve in place of the server's, nor one that another authority signed.
    fs::copy(dir.path().join("admin.crt"), dir.path().join("server.crt")).unwrap();
    fs::copy(dir.path().join("admin.key"), dir.path().join("server.key")).unwrap();
    let other = Credentials::generate(&[], now()).unwrap();
    fs::write(dir.path().join("admin.crt"), &other.admin.certificate).unwrap();
    fs::write(dir.path().join("admin.key"), &other.admin.key).unwrap();
    let credentials = Credentials::open(dir.path(), &[], now()).unwrap();
    let admin = Identity::authenticated(ADMIN, [Identity::MASTERS]);
    credentials.authority.check_client(&credentials.admin, &admin, now()).unwrap();
    credentials.authority.check_server(&credentials.server, &names(&[]), now()).unwrap();
}

#[test]
fn a_damaged_authority_or_token_is_an_error_that_says_what_to_do() {
    for (file, content, reason) in [
        ("ca.crt", "rubbish", "not a certificate"),
        ("ca.key", "rubbish", "not a key"),
        ("admin.token", "short", "not a token"),
    ] {
        let dir = tempfile::tempdir().unwrap();
        Credentials::open(dir.path(), &[], now()).unwrap();
        fs::write(dir.path().join(file), content).unwrap();
        let error = damage(dir.path(), &[]);
        assert!(error.contains(reason) && error.contains("remove the folder"), "{error}");
    }

    let dir = tempfile::tempdir().unwrap();
    Credentials::open(dir.path(), &[], now()).unwrap();
    let other = Credentials::generate(&[], now()).unwrap();
    fs::write(dir.path().join("ca.key"), &other.authority.files().key).unwrap();
    let error = damage(dir.path(), &[]);
    assert!(error.contains("the key does not belong to the certificate"), "{error}");

    fs::remove_file(dir.path().join("ca.key")).unwrap();
    let error = damage(dir.path(), &[]);
    assert!(error.contains("ca.key is missing"), "{error}");
}

#[test]
fn files_that_others_could_read_are_closed_to_them() {
    let dir = tempfile::tempdir().unwrap();
    Credentials::open(dir.path(), &[], now()).unwrap();
    let key = dir.path().join("ca.key");
    fs::set_permissions(&key, Permissions::from_mode(0o644)).unwrap();
    fs::set_permissions(dir.path(), Permissions::from_mode(0o755)).unwrap();

    Credentials::open(dir.path(), &[], now()).unwrap();
    assert_eq!(fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(fs::metadata(dir.path()).unwrap().permissions().mode() & 0o777, 0o700);
}

#[test]
fn a_folder_that_is_a_file_is_an_error_with_its_path() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("pki");
    fs::write(&path, "").unwrap();
    let error = damage(&path, &[]);
    assert!(error.contains("create") && error.contains("pki"), "{error}");
}

#[test]
fn the_kubeconfig_is_private_whole_and_replaced_in_one_step() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("new/folder/kubeconfig");
    let credentials = Credentials::generate(&[], now()).unwrap();
    credentials.kubeconfig("https://127.0.0.1:1").write(&path).unwrap();
    credentials.kubeconfig("https://127.0.0.1:2").write(&path).unwrap();

    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(files(path.parent().unwrap()).len(), 1, "no temporary file stays");
    let config: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
    assert_eq!(config["clusters"][0]["cluster"]["server"], "https://127.0.0.1:2");
    assert_eq!(config["current-context"], config["contexts"][0]["name"]);
}

#[test]
fn host_names_are_names_or_addresses() {
    assert_eq!("::1".parse::<HostName>().unwrap(), HostName::Ip("::1".parse().unwrap()));
    assert_eq!("a.b".parse::<HostName>().unwrap(), HostName::Dns("a.b".to_owned()));
    for wrong in ["", "a b", "https://a", "-"] {
        assert!(wrong.parse::<HostName>().is_err(), "{wrong:?}");
    }
}
