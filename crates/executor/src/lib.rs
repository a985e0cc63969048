//! The crate `executor` of sandbank; see ARCHITECTURE.md.
