//! What a path and a query string mean.

/// A path below `/api/v1` or `/apis/GROUP/VERSION`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ResourcePath {
    /// API group; empty for the core group.
    pub(crate) group: String,
    /// Version.
    pub(crate) version: String,
    /// The namespace in the path; empty where there is none.
    pub(crate) namespace: String,
    /// Plural name.
    pub(crate) plural: String,
    /// Object name; empty for the collection.
    pub(crate) name: String,
    /// Subresource; empty for the object itself.
    pub(crate) subresource: String,
    /// Whether the path is one of the old `/watch/` ones.
    pub(crate) old_watch: bool,
}

impl ResourcePath {
    /// Reads a path; none if it names no resource (discovery, health, documents, nonsense).
    pub(crate) fn parse(path: &str) -> Option<Self> {
        let segments: Vec<String> = path
            .trim_matches('/')
            .split('/')
            .map(|segment| decoded(segment, Plus::Literal))
            .collect();
        let mut rest: Vec<&str> = segments.iter().map(String::as_str).collect();
        let (group, version) = match *rest.first()? {
            "api" if rest.len() > 2 => {
                let version = rest[1];
                rest.drain(..2);
                ("", version)
            }
            "apis" if rest.len() > 3 => {
                let (group, version) = (rest[1], rest[2]);
                rest.drain(..3);
                (group, version)
            }
            _ => return None,
        };
        let old_watch = rest.len() > 1 && rest[0] == "watch";
        if old_watch {
            rest.remove(0);
        }
        let namespace = match rest.as_slice() {
            // The namespace object itself, or a subresource of it.
            ["namespaces", _] | ["namespaces", _, "status" | "finalize"] => "",
            ["namespaces", namespace, ..] => {
                let namespace = *namespace;
                rest.drain(..2);
                namespace
            }
            _ => "",
        };
        if rest.len() > 3 || rest.iter().any(|segment| segment.is_empty()) {
            return None;
        }
        let part = |index: usize| rest.get(index).map_or(String::new(), |part| (*part).to_owned());
        Some(Self {
            group: group.to_owned(),
            version: version.to_owned(),
            namespace: namespace.to_owned(),
            plural: part(0),
            name: part(1),
            subresource: part(2),
            old_watch,
        })
    }
}

/// A query string, read leniently: clients begin it with `?&`, repeat parameters and send ones nobody knows.
#[derive(Debug, Clone, Default)]
pub(crate) struct QueryPairs(Vec<(String, String)>);

impl QueryPairs {
    pub(crate) fn parse(query: Option<&str>) -> Self {
        let pairs = query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty());
        Self(
            pairs
                .map(|pair| {
                    let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
                    (decoded(name, Plus::Space), decoded(value, Plus::Space))
                })
                .collect(),
        )
    }

    /// The first value of a parameter; an empty one counts as absent, as client libraries mean it.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        let mut found = self.0.iter().filter(|(known, _)| known == name);
        found.next().map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
    }

    /// Every value of a parameter.
    pub(crate) fn all(&self, name: &str) -> Vec<String> {
        self.0.iter().filter(|(known, _)| known == name).map(|(_, value)| value.clone()).collect()
    }

    /// A switch: present without a value means on.
    pub(crate) fn flag(&self, name: &str) -> bool {
        let found = self.0.iter().find(|(known, _)| known == name);
        found.is_some_and(|(_, value)| !matches!(value.as_str(), "false" | "0" | "False" | "FALSE"))
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Plus {
    Literal,
    Space,
}

/// Undoes percent encoding. What is not valid encoding, or not UTF-8, stays recognisable and matches nothing.
fn decoded(text: &str, plus: Plus) -> String {
    if !text.contains(['%', '+']) {
        return text.to_owned();
    }
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let hex =
            |offset: usize| bytes.get(at + offset).and_then(|byte| char::from(*byte).to_digit(16));
        match (bytes[at], hex(1), hex(2)) {
            (b'%', Some(high), Some(low)) => {
                // Two hexadecimal digits are below 256.
                out.push((high * 16 + low) as u8);
                at += 3;
                continue;
            }
            (b'+', _, _) if plus == Plus::Space => out.push(b' '),
            (byte, _, _) => out.push(byte),
        }
        at += 1;
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_name_groups_namespaces_and_subresources() {
        let cases = [
            ("/api/v1/pods", "|v1||pods||"),
            ("/api/v1/namespaces", "|v1||namespaces||"),
            ("/api/v1/namespaces/a", "|v1||namespaces|a|"),
            ("/api/v1/namespaces/a/finalize", "|v1||namespaces|a|finalize"),
            ("/api/v1/namespaces/a/pods", "|v1|a|pods||"),
            ("/api/v1/namespaces/a/pods/p/log", "|v1|a|pods|p|log"),
            ("/apis/g.io/v2/namespaces/a/things/x/status", "g.io|v2|a|things|x|status"),
            ("/apis/g.io/v2/things/a%2Eb", "g.io|v2||things|a.b|"),
        ];
        for (path, expected) in cases {
            let found = ResourcePath::parse(path).unwrap();
            let ResourcePath { group, version, namespace, plural, name, subresource, .. } = found;
            let found = [group, version, namespace, plural, name, subresource].join("|");
            assert_eq!(found, expected, "{path}");
        }
        for path in
            ["/", "/api", "/api/v1", "/apis/g/v1", "/version", "/api/v1/a/b/c/d", "/api/v1/pods//x"]
        {
            assert_eq!(ResourcePath::parse(path), None, "{path}");
        }
        assert!(ResourcePath::parse("/api/v1/watch/namespaces/a/pods").unwrap().old_watch);
    }

    #[test]
    fn query_strings_are_read_leniently() {
        let query =
            QueryPairs::parse(Some("&labelSelector=a%3Db&labelSelector=c&watch=1&limit=&x"));
        assert_eq!(query.get("labelSelector"), Some("a=b"));
        assert_eq!(query.get("limit"), None);
        assert!(query.flag("watch") && query.flag("x") && !query.flag("y"));
    }
}
