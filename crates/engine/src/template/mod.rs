//! Templates: the network policy that all sandboxes of a template share.

mod view;

pub use view::*;

/// What should be done about a template.
pub fn plan(view: &TemplateView) -> TemplatePlan {
    let _ = view;
    TemplatePlan::default()
}
