//! The API as its users meet it: definitions, rules, tables, explanations, health.

mod kstatus;
mod rules;
mod tables;
