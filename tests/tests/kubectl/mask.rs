//! What differs from run to run, and says nothing.

use regex::Regex;

/// Replaces ages, times, uids, revisions and addresses by what they are.
pub struct Mask(Vec<(Regex, &'static str)>);

impl Mask {
    pub fn new() -> Self {
        let rules = [
            // kubectl may still want to tell a terminal's size when it has answered our end of the stream with its own.
            (r#"(?m)^E\d{4} .*websocket: close sent"?\n?"#, ""),
            (r"\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b", "<uid>"),
            (r#"(resourceVersion"?: ")\d+""#, "$1<revision>\""),
            (r"(Resource Version: +)\d+", "$1<revision>"),
            (r"\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", "<time>"),
            (
                r"\b(Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d\d \w{3} \d{4} \d\d:\d\d:\d\d [+-]\d{4}",
                "<date>",
            ),
            (r"\b127\.0\.0\.1:\d+", "<server>"),
            (r"kubectl-edit-[a-z0-9-]+\.yaml", "<edited>.yaml"),
            // Sandboxes of a set have names that nobody chose.
            (r"\b(demo|broken)-[bcdfghjklmnpqrstvwxz2456789]{7}\b", "$1-<name>"),
            (r"\b10\.88\.0\.\d+\b", "<address>"),
            // Newer releases of kubectl say where as well.
            (r" deleted from \S+ namespace", " deleted"),
            // Ages last, for times have digits and letters too. The column after one moves with its width.
            (r"\b(?:\d+[smhd]){1,2}\b {2,}", "<age>   "),
            (r"\b(?:\d+[smhd]){1,2}\b", "<age>"),
        ];
        Self(rules.into_iter().map(|(rule, name)| (Regex::new(rule).unwrap(), name)).collect())
    }

    /// A text without what differs.
    pub fn apply(&self, text: &str) -> String {
        let text = text.replace('\r', "");
        self.0.iter().fold(text, |text, (rule, name)| rule.replace_all(&text, *name).into_owned())
    }
}

#[test]
fn names_and_numbers_stay_while_times_and_identities_go() {
    let mask = Mask::new();
    for (before, after) in [
        ("box-1   5s\nbox-2   2m3s", "box-1   <age>\nbox-2   <age>"),
        ("Running   12s    10.0.0.1", "Running   <age>   10.0.0.1"),
        ("creationTimestamp: \"2026-11-22T02:04:00Z\"", "creationTimestamp: \"<time>\""),
        ("uid: 6a1b0a94-2b3c-4d5e-8f90-a1b2c3d4e5f6", "uid: <uid>"),
        ("  resourceVersion: \"123\"", "  resourceVersion: \"<revision>\""),
        ("size: 5\r\nv1beta1 30 s", "size: 5\nv1beta1 30 s"),
        (
            "a\nE1122 04:06:00.4    9 v2.go:104] \"Unhandled Error\" err=\"websocket: close sent\"\nb",
            "a\nb",
        ),
        ("demo-x4jz2fg   Running", "demo-<name>   Running"),
        ("demo-1 demo-abcdefg demo-x4jz2fgx", "demo-1 demo-abcdefg demo-x4jz2fgx"),
        ("box \"a\" deleted from default namespace", "box \"a\" deleted"),
        ("Started:  Sun, 22 Nov 2026 02:04:00 +0000", "Started:  <date>"),
    ] {
        assert_eq!(mask.apply(before), after);
    }
}
