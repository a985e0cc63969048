//! Bodies as clients write them.
//!
//! The bodies below were recorded from `kubectl create` and `kubectl auth`; `samples.txt` holds objects encoded by the
//! published Go types, each beside the JSON that the same types write.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::{ProtobufError, decode, is_protobuf};

fn bytes(hex: &str) -> Vec<u8> {
    let digits = hex.as_bytes().chunks(2);
    digits.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

#[test]
fn what_kubectl_creates() {
    for (hex, expected) in [
        (
            "6b3873000a0f0a02763112094e616d657370616365121c0a140a0464656d6f12001a0022002a0032003800420012001a020a001a002200",
            json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "demo"}, "spec": {}, "status": {}}),
        ),
        (
            "6b3873000a0f0a0276311209436f6e6669674d6170122c0a120a02636d12001a0022002a0032003800420012060a01611201311a0e0a0362696e120768656c6c6f00ff1a002200",
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "cm"}, "data": {"a": "1"},
                   "binaryData": {"bin": "aGVsbG8A/w=="}}),
        ),
        (
            "6b3873000a0c0a0276311206536563726574121d0a110a017312001a0022002a0032003800420012060a016b1201761a001a002200",
            json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "data": {"k": "dg=="}}),
        ),
        (
            "6b3873000a280a1861757468656e7469636174696f6e2e6b38732e696f2f7631120c546f6b656e52657175657374121d0a100a0012001a0022002a00320038004200120320d8041a040a0012001a002200",
            json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "metadata": {},
                   "spec": {"audiences": null, "expirationSeconds": 600}, "status": {"token": ""}}),
        ),
        (
            "6b3873000a320a17617574686f72697a6174696f6e2e6b38732e696f2f7631121753656c665375626a656374416363657373526576696577123c0a100a0012001a0022002a00320038004200121e0a1c0a0764656661756c7412036765741a0022002a04706f647332003a001a08080012001a0020001a002200",
            json!({"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview", "metadata": {},
                   "spec": {"resourceAttributes": {"namespace": "default", "verb": "get", "resource": "pods"}},
                   "status": {"allowed": false}}),
        ),
        (
            "6b3873000a0d0a02763112075365727669636512650a1d0a026e7012001a0022002a003200380042005a090a0361707012026e7012400a1b0a0738302d38303830120354435018502207080010903f1a00280012090a0361707012026e701a0022084e6f6465506f72743a00420052005a00600068001a020a001a002200",
            json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "np", "labels": {"app": "np"}},
                   "spec": {"ports": [{"name": "80-8080", "protocol": "TCP", "port": 80, "targetPort": 8080}],
                            "selector": {"app": "np"}, "type": "NodePort"},
                   "status": {"loadBalancer": {}}}),
        ),
    ] {
        assert_eq!(decode(&bytes(hex)).unwrap(), without_nulls(expected));
    }
}

fn without_nulls(value: Value) -> Value {
    match value {
        Value::Object(map) => {
            let kept =
                map.into_iter().filter(|(_, v)| !v.is_null()).map(|(k, v)| (k, without_nulls(v)));
            Value::Object(kept.collect())
        }
        Value::Array(items) => Value::Array(items.into_iter().map(without_nulls).collect()),
        other => other,
    }
}

fn envelope(api_version: &str, kind: &str, object: &[u8]) -> Vec<u8> {
    fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
        let mut out = vec![number << 3 | 2];
        let mut length = bytes.len();
        while length >= 0x80 {
            out.push(length as u8 | 0x80);
            length >>= 7;
        }
        out.push(length as u8);
        out.extend_from_slice(bytes);
        out
    }
    let type_meta = [field(1, api_version.as_bytes()), field(2, kind.as_bytes())].concat();
    [b"k8s\0".to_vec(), field(1, &type_meta), field(2, object)].concat()
}

#[test]
fn what_go_types_write_as_protobuf_reads_as_what_they_write_as_json() {
    let samples = include_str!("samples.txt");
    assert!(samples.lines().count() >= 10);
    for line in samples.lines() {
        let mut parts = line.splitn(4, ' ');
        let mut part = || parts.next().unwrap();
        let (api_version, kind, hex, json) = (part(), part(), part(), part());
        let mut expected: Value = serde_json::from_str(json).unwrap();
        expected["apiVersion"] = api_version.into();
        expected["kind"] = kind.into();
        let body = envelope(api_version, kind, &bytes(hex));
        assert_eq!(decode(&body).unwrap(), without_nulls(expected), "{kind}");
    }
}

#[test]
fn options_of_a_delete_come_under_any_version() {
    for version in ["v1", "policy/v1", "meta.k8s.io/v1"] {
        let body = envelope(version, "DeleteOptions", &[0x08, 0x00]);
        let expected =
            json!({"apiVersion": version, "kind": "DeleteOptions", "gracePeriodSeconds": 0});
        assert_eq!(decode(&body).unwrap(), expected);
    }
}

#[test]
fn what_is_no_such_body_is_refused() {
    assert!(matches!(decode(b"{}"), Err(ProtobufError::Prefix)));
    assert!(matches!(decode(b""), Err(ProtobufError::Prefix)));
    let unknown = envelope("apps/v1", "Deployment", &[]);
    assert_eq!(
        decode(&unknown).unwrap_err().to_string(),
        r#"no kind "Deployment" is registered for version "apps/v1""#
    );
    for broken in [
        &[0x0a, 0x05, b'x'][..],
        &[0x08],
        &[0x0b],
        &[0x00, 0x01],
        &[0x0a, 0x02, 0x0a, 0x7f],
        &[0xff; 11],
    ] {
        let body = envelope("v1", "Pod", broken);
        assert!(matches!(decode(&body), Err(ProtobufError::Malformed(_))), "{broken:x?}");
    }
    let not_text = envelope("v1", "Secret", &[0x1a, 0x01, 0xff]);
    assert!(matches!(decode(&not_text), Err(ProtobufError::Malformed(_))));
}

#[test]
fn the_media_type_is_told_from_others() {
    assert!(is_protobuf("application/vnd.kubernetes.protobuf"));
    assert!(is_protobuf("application/vnd.kubernetes.protobuf; charset=utf-8"));
    assert!(!is_protobuf("application/json"));
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(object in prop::collection::vec(any::<u8>(), 0..200), kind in "Pod|Secret|Lease|Event") {
        let version = if kind == "Lease" { "coordination.k8s.io/v1" } else { "v1" };
        let _ = decode(&envelope(version, &kind, &object));
    }
}
