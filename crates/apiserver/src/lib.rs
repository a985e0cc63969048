//! The crate `apiserver` of sandbank; see ARCHITECTURE.md.
