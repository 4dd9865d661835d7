//! What a claim can be besides one number for one pod: a block, made before, handed over, adopted, limited.

mod adoption;
mod band;
mod blocks;
mod handover;
mod prebound;
mod tenants;
