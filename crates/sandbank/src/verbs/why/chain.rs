//! A chain of reasons: each object with what it says of itself and the objects its state depends on.

use dialects::condition::Condition;
use serde::Serialize;

/// How an object is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// As it should be.
    Well,
    /// On its way there by itself.
    Waiting,
    /// Not without somebody's help.
    Wrong,
}

impl State {
    fn mark(self) -> &'static str {
        match self {
            State::Well => "+",
            State::Waiting => "~",
            State::Wrong => "!",
        }
    }
}

/// One thing an object says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Saying {
    /// What it is about: a condition's type, a container, an event.
    pub about: String,
    /// One word of why.
    pub reason: String,
    /// A sentence of why.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// How often, where it is counted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub count: Option<i32>,
}

impl Saying {
    /// What a condition says.
    pub fn of_condition(condition: &Condition) -> Self {
        Self {
            about: format!("{} is {}", condition.kind, condition.status),
            reason: condition.reason.clone(),
            message: condition.message.clone(),
            count: None,
        }
    }

    /// `reason: message`.
    fn because(&self) -> String {
        match (self.reason.as_str(), self.message.as_str()) {
            ("", message) => message.to_owned(),
            (reason, "") => reason.to_owned(),
            (reason, message) => format!("{reason}: {message}"),
        }
    }
}

/// An object in the chain.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Link {
    /// `pool default/a`.
    pub object: String,
    /// What it is to the link above, as in `takes from`; empty for the first.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub relation: &'static str,
    /// How it is doing.
    pub state: State,
    /// In a few words.
    pub summary: String,
    /// What it says of itself, the most telling first.
    pub says: Vec<Saying>,
    /// What its state depends on.
    pub depends_on: Vec<Link>,
}

impl Link {
    /// A link that is well and says nothing yet.
    pub fn new(object: impl Into<String>, summary: impl Into<String>) -> Self {
        Self {
            object: object.into(),
            relation: "",
            state: State::Well,
            summary: summary.into(),
            says: Vec::new(),
            depends_on: Vec::new(),
        }
    }

    /// An object that is referred to and does not exist.
    pub fn missing(object: impl Into<String>) -> Self {
        Self { state: State::Wrong, ..Self::new(object, "does not exist") }
    }

    /// The same link, as what it is to the one above.
    pub fn related(self, relation: &'static str) -> Self {
        Self { relation, ..self }
    }

    /// The deepest link that is not well, the wrong before the waiting: what is to be looked at.
    fn root(&self) -> Option<&Link> {
        let deeper = |state| {
            let mut found = self.depends_on.iter().filter_map(Link::root);
            found.find(|link| link.state == state)
        };
        deeper(State::Wrong)
            .or_else(|| deeper(State::Waiting))
            .or_else(|| (self.state != State::Well).then_some(self))
    }

    /// The tree, and in a last line where it all comes from.
    pub fn render(&self) -> String {
        let mut lines = Vec::new();
        self.render_into(&mut lines, 0);
        if let Some(root) = self.root().filter(|root| root.object != self.object) {
            let because = root.says.first().map_or_else(|| root.summary.clone(), Saying::because);
            lines.push(format!("\nIt comes down to {}: {because}", root.object));
        }
        lines.join("\n")
    }

    fn render_into(&self, lines: &mut Vec<String>, depth: usize) {
        let indent = "  ".repeat(depth);
        let relation = match self.relation {
            "" => String::new(),
            relation => format!("{relation} "),
        };
        let mark = self.state.mark();
        lines.push(format!("{indent}{mark} {relation}{}: {}", self.object, self.summary));
        for saying in &self.says {
            let times = match saying.count {
                Some(count) if count > 1 => format!(" ({count} times)"),
                _ => String::new(),
            };
            lines.push(format!("{indent}    {} - {}{times}", saying.about, saying.because()));
        }
        for link in &self.depends_on {
            link.render_into(lines, depth + 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn saying(about: &str, reason: &str, message: &str) -> Saying {
        Saying { about: about.into(), reason: reason.into(), message: message.into(), count: None }
    }

    #[test]
    fn the_chain_ends_at_what_can_be_mended() {
        let mut pod = Link::new("pod default/s", "Pending");
        pod.state = State::Wrong;
        pod.says = vec![
            saying("container shell", "ImagePullBackOff", "no image x is here"),
            Saying { count: Some(3), ..saying("event", "Failed", "no image x is here") },
        ];
        let mut sandbox = Link::new("sandbox default/s", "not ready").related("holds");
        sandbox.state = State::Waiting;
        sandbox.depends_on = vec![pod.related("runs as")];
        let mut claim = Link::new("claim default/c", "not ready");
        claim.state = State::Waiting;
        claim.says = vec![saying("Ready is False", "DependenciesNotReady", "Pod is Pending")];
        claim.depends_on =
            vec![Link::new("pool default/p", "3 of 3 ready").related("takes from"), sandbox];
        assert_eq!(
            claim.render(),
            "~ claim default/c: not ready\n    \
                 Ready is False - DependenciesNotReady: Pod is Pending\n  \
               + takes from pool default/p: 3 of 3 ready\n  \
               ~ holds sandbox default/s: not ready\n    \
                 ! runs as pod default/s: Pending\n        \
                     container shell - ImagePullBackOff: no image x is here\n        \
                     event - Failed: no image x is here (3 times)\n\
             \n\
             It comes down to pod default/s: ImagePullBackOff: no image x is here"
        );
    }

    #[test]
    fn when_all_is_well_nothing_is_blamed() {
        let mut claim = Link::new("claim default/c", "ready");
        claim.depends_on = vec![Link::new("pool default/p", "full").related("takes from")];
        assert!(!claim.render().contains("comes down"));
    }
}
