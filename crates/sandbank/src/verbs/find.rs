//! Which object a word on the command line means, in whichever API family it is.
//!
//! People say `claim/a`; the families each have a kind for that. What exists decides, and if both exist nobody guesses.

use controllers::kinds::Kind;
use futures::future::try_join_all;
use kube::Api;
use kube::core::DynamicObject;

use super::connect::Server;
use super::objects::resource;
use crate::exit::Error;

/// What can be asked about, in the words of the command line.
pub const FORMS: &str = "write claim/NAME, pool/NAME, template/NAME, sandbox/NAME or pod/NAME";

/// All claims, whatever the family.
pub const CLAIMS: [Kind; 2] = [Kind::Claim, Kind::KruiseClaim];
/// All pools.
pub const POOLS: [Kind; 2] = [Kind::Pool, Kind::SandboxSet];
/// All templates.
pub const TEMPLATES: [Kind; 2] = [Kind::Template, Kind::KruiseTemplate];
/// All sandboxes.
pub const SANDBOXES: [Kind; 2] = [Kind::Sandbox, Kind::KruiseSandbox];

/// An object by its name, and the kinds that it may be of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// The kinds, at least one.
    pub kinds: Vec<Kind>,
    /// The name.
    pub name: String,
}

impl Named {
    /// Reads `claim/a`; a kind may be written as kubectl knows it too, with its group to be exact.
    ///
    /// # Errors
    /// If the kind is none that can be asked about, or the name is missing.
    pub fn parse(text: &str) -> Result<Self, String> {
        let Some((kind, name)) = text.split_once('/').filter(|(_, name)| !name.is_empty()) else {
            return Err(FORMS.into());
        };
        let kinds = kinds_of(&kind.to_ascii_lowercase());
        if kinds.is_empty() {
            return Err(FORMS.into());
        }
        Ok(Named { kinds, name: name.into() })
    }

    /// The same, where a bare name means one of `kinds`.
    ///
    /// # Errors
    /// If a kind is written that is none of them.
    pub fn parse_among(text: &str, kinds: &[Kind]) -> Result<Self, Error> {
        if !text.contains('/') {
            return Ok(Named { kinds: kinds.to_vec(), name: text.to_owned() });
        }
        let mut named = Self::parse(text).map_err(|forms| Error::usage(text, forms))?;
        named.kinds.retain(|kind| kinds.contains(kind));
        if named.kinds.is_empty() {
            let possible: Vec<String> = kinds.iter().map(|kind| exact(*kind)).collect();
            let next = format!("a name, or {}/NAME", possible.join("/NAME, "));
            return Err(Error::usage(format!("{text} is of the wrong kind here"), next));
        }
        Ok(named)
    }
}

/// The kinds that a word may mean.
fn kinds_of(word: &str) -> Vec<Kind> {
    let kinds: &[Kind] = match word {
        "claim" | "sandboxclaim" | "sandboxclaims" => &CLAIMS,
        "sbc" => &[Kind::KruiseClaim],
        "pool" | "pools" => &POOLS,
        "swp" | "sandboxwarmpool" | "sandboxwarmpools" => &[Kind::Pool],
        "sbs" | "sandboxset" | "sandboxsets" => &[Kind::SandboxSet],
        "template" | "sandboxtemplate" | "sandboxtemplates" => &TEMPLATES,
        "sbt" => &[Kind::KruiseTemplate],
        "sandbox" | "sandboxes" => &SANDBOXES,
        "sbx" => &[Kind::KruiseSandbox],
        "pod" | "pods" | "po" => &[Kind::Pod],
        exactly => {
            let kind = Kind::ALL.into_iter().find(|kind| exact(*kind) == exactly);
            return kind.into_iter().collect();
        }
    };
    kinds.to_vec()
}

/// A kind as only it is called: `sandboxclaims.agents.kruise.io`.
pub fn exact(kind: Kind) -> String {
    match kind.group() {
        "" => kind.plural().to_owned(),
        group => format!("{}.{group}", kind.plural()),
    }
}

impl Server {
    /// The kind of which there is such an object; nothing if there is none.
    ///
    /// # Errors
    /// If there are several, one in each family, or the server can't be asked.
    pub async fn find(&self, named: &Named) -> Result<Option<Kind>, Error> {
        let asked = named.kinds.iter().map(|kind| self.exists(*kind, &named.name));
        let found: Vec<Kind> = try_join_all(asked).await?.into_iter().flatten().collect();
        match found.as_slice() {
            [] => Ok(None),
            [kind] => Ok(Some(*kind)),
            several => Err(ambiguous(&named.name, several)),
        }
    }

    async fn exists(&self, kind: Kind, name: &str) -> Result<Option<Kind>, Error> {
        let api: Api<DynamicObject> =
            Api::namespaced_with(self.client.clone(), &self.namespace, &resource(kind));
        let what = format!("{} {}/{name}", kind.name(), self.namespace);
        let found = api.get_metadata_opt(name).await.map_err(|e| self.explain(&what, "", e))?;
        Ok(found.map(|_| kind))
    }
}

/// The error for a name that two families have.
pub fn ambiguous(name: &str, kinds: &[Kind]) -> Error {
    let full: Vec<String> = kinds.iter().map(|kind| format!("{}/{name}", exact(*kind))).collect();
    Error::usage(
        format!("{name} is the name of several: {}", full.join(" and ")),
        format!("write {}", full.join(" or ")),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_may_be_written_as_kubectl_knows_them() {
        let read = |text: &str| Named::parse(text).map(|named| (named.kinds, named.name));
        assert_eq!(read("claim/a"), Ok((CLAIMS.to_vec(), "a".into())));
        assert_eq!(read("SandboxWarmPool/b"), Ok((vec![Kind::Pool], "b".into())));
        assert_eq!(read("sbs/b"), Ok((vec![Kind::SandboxSet], "b".into())));
        assert_eq!(
            read("sandboxclaims.agents.kruise.io/c"),
            Ok((vec![Kind::KruiseClaim], "c".into()))
        );
        for bad in ["claim", "claim/", "/a", "node/a"] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_bare_name_means_what_the_verb_is_about_and_nothing_else() {
        let among = |text| Named::parse_among(text, &CLAIMS).map(|named| named.kinds);
        assert_eq!(among("a").unwrap(), CLAIMS);
        assert_eq!(among("sbc/a").unwrap(), [Kind::KruiseClaim]);
        assert!(among("pool/a").unwrap_err().next_step().unwrap().contains("sandboxclaims"));
    }

    #[test]
    fn a_name_of_two_families_is_answered_with_both() {
        let error = ambiguous("a", &CLAIMS);
        let said = format!("{error} {}", error.next_step().unwrap());
        for full in
            ["sandboxclaims.extensions.agents.x-k8s.io/a", "sandboxclaims.agents.kruise.io/a"]
        {
            assert!(said.contains(full), "{said}");
        }
    }
}
