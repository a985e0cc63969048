//! The crate `controllers` of sandbank; see ARCHITECTURE.md.
