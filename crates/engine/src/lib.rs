//! The crate `engine` of sandbank; see ARCHITECTURE.md.
