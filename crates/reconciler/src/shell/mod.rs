//! shell placeholder
