//! Which addresses are taken. Nothing is kept on disk: the pods that live know theirs.

use std::{collections::BTreeSet, net::Ipv4Addr};

/// A range of addresses in prefix notation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    first: u32,
    prefix: u8,
}

/// A range needs room for its own name, the bridge, a pod and the broadcast address.
const LONGEST_PREFIX: u8 = 30;

impl Range {
    /// The range of `prefix` bits that contains `address`; a prefix beyond 30 bits is taken as 30.
    #[must_use]
    pub fn new(address: Ipv4Addr, prefix: u8) -> Self {
        let prefix = prefix.min(LONGEST_PREFIX);
        let mask = u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0);
        Self { first: u32::from(address) & mask, prefix }
    }

    /// The bridge's own address.
    #[must_use]
    pub fn gateway(self) -> Ipv4Addr {
        Ipv4Addr::from(self.first + 1)
    }

    /// Its length in bits.
    #[must_use]
    pub fn prefix(self) -> u8 {
        self.prefix
    }

    /// Its first pod address and the first address after its last one.
    fn pods(self) -> (u32, u32) {
        let size = 1_u64 << (32 - u64::from(self.prefix));
        let broadcast = u64::from(self.first) + size - 1;
        (self.first + 2, u32::try_from(broadcast).unwrap_or(u32::MAX))
    }
}

impl std::fmt::Display for Range {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", Ipv4Addr::from(self.first), self.prefix)
    }
}

impl std::str::FromStr for Range {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is not a range of addresses such as 10.88.0.0/16");
        let (address, prefix) = text.split_once('/').ok_or_else(wrong)?;
        let prefix = prefix.parse().map_err(|_| wrong())?;
        if !(8..=LONGEST_PREFIX).contains(&prefix) {
            return Err(format!("{text:?}: the prefix must be from 8 to {LONGEST_PREFIX} bits"));
        }
        Ok(Self::new(address.parse().map_err(|_| wrong())?, prefix))
    }
}

pub(super) struct Addresses {
    range: Range,
    used: BTreeSet<Ipv4Addr>,
    next: u32,
}

impl Addresses {
    pub(super) fn new(range: Range, used: BTreeSet<Ipv4Addr>) -> Self {
        let next = range.pods().0;
        Self { range, used, next }
    }

    /// The next free address in turn: one that was just given back is used last, so that nobody who still knows it reaches a
    /// stranger.
    pub(super) fn take(&mut self) -> Option<Ipv4Addr> {
        let (first, end) = self.range.pods();
        for _ in first..end {
            let address = Ipv4Addr::from(self.next);
            self.next = if self.next + 1 < end { self.next + 1 } else { first };
            if self.used.insert(address) {
                return Some(address);
            }
        }
        None
    }

    pub(super) fn give_back(&mut self, address: Ipv4Addr) {
        self.used.remove(&address);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_handed_out_in_turn_and_none_twice() {
        let range = Range::new(Ipv4Addr::new(10, 88, 0, 0), 29);
        let used = BTreeSet::from([Ipv4Addr::new(10, 88, 0, 3)]);
        let mut addresses = Addresses::new(range, used);
        let taken: Vec<_> =
            std::iter::from_fn(|| addresses.take()).map(|ip| ip.octets()[3]).collect();
        assert_eq!(range.gateway(), Ipv4Addr::new(10, 88, 0, 1));
        assert_eq!(taken, [2, 4, 5, 6], "3 belongs to a living pod, 7 is the broadcast address");
        addresses.give_back(Ipv4Addr::new(10, 88, 0, 5));
        assert_eq!(addresses.take(), Some(Ipv4Addr::new(10, 88, 0, 5)));
    }

    #[test]
    fn a_range_is_written_as_people_write_it() {
        let range: Range = "10.1.2.3/24".parse().expect("a range");
        assert_eq!(range.to_string(), "10.1.2.0/24");
        assert!("10.1.2.3".parse::<Range>().is_err());
        assert!("10.1.2.3/31".parse::<Range>().is_err());
    }
}
