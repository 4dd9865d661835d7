//! The ledger's own random numbers (SplitMix64): spread evenly, and the same for the same seed, so that a
//! simulation can be repeated. Never here: secrets; whoever sees some of its numbers can tell the next.

#[derive(Clone)]
pub(super) struct Random(u64);

impl Random {
    pub(super) fn with_seed(seed: u64) -> Self {
        Self(seed)
    }

    /// A number below `bound`, all equally likely up to one part in 2^48 for the bounds used here.
    pub(super) fn below(&mut self, bound: usize) -> usize {
        ((u128::from(self.next()) * bound as u128) >> 64) as usize
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_below_the_bound_comes_up_about_equally_often() {
        let mut random = Random::with_seed(0);
        let mut drawn = [0u32; 10];

        for _ in 0..10_000 {
            drawn[random.below(10)] += 1;
        }

        assert!(drawn.iter().all(|times| (850..1150).contains(times)), "{drawn:?}");
    }
}
