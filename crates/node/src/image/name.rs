//! Image names: what people write, and the one full form under which the index keeps it.

use std::fmt;

use oci_client::Reference;

use super::ImageError;

/// A full image name: registry, repository and tag or digest, so that short and long spellings meet.
#[derive(
    Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
pub struct ImageName(String);

impl ImageName {
    /// Completes what was written (`nginx` gets the default registry, `library/` and `:latest`).
    pub fn parse(written: &str) -> Result<Self, ImageError> {
        Ok(Self(reference(written)?.whole()))
    }

    /// Whether `written` is one of the names of the machine's own image: `host` or `sandbank/host`, untagged or `:latest`.
    pub fn is_host(written: &str) -> bool {
        let untagged = written.strip_suffix(":latest").unwrap_or(written);
        matches!(untagged, "host" | "sandbank/host" | "localhost/host" | "localhost/sandbank/host")
    }

    /// Whether the tag may move without notice, which is what makes `Always` the default pull policy.
    pub fn is_latest(written: &str) -> bool {
        reference(written).is_ok_and(|r| r.digest().is_none() && r.tag() == Some("latest"))
    }
}

impl fmt::Display for ImageName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Parses a name as registries understand it.
pub(super) fn reference(written: &str) -> Result<Reference, ImageError> {
    Reference::try_from(written)
        .map_err(|e| ImageError::Name { name: written.into(), reason: e.to_string() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_and_long_spellings_are_one_name() {
        let short = ImageName::parse("nginx").unwrap();
        assert_eq!(short, ImageName::parse("library/nginx:latest").unwrap());
        assert_ne!(short, ImageName::parse("nginx:1.27").unwrap());
        assert_eq!(
            ImageName::parse("127.0.0.1:5000/a/b:c").unwrap().to_string(),
            "127.0.0.1:5000/a/b:c"
        );
        assert!(ImageName::parse("UPPER case").is_err());
    }

    #[test]
    fn the_machine_has_its_names() {
        for name in ["host", "host:latest", "sandbank/host"] {
            assert!(ImageName::is_host(name));
        }
        for name in ["host:1", "ghost", "other/host"] {
            assert!(!ImageName::is_host(name));
        }
    }

    #[test]
    fn only_latest_and_no_tag_may_move() {
        assert!(ImageName::is_latest("nginx"));
        assert!(ImageName::is_latest("nginx:latest"));
        assert!(!ImageName::is_latest("nginx:1"));
    }
}
