//! The sans-IO core that binds and releases ports, and the shell that feeds it.
