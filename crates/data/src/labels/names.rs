//! A column of names.

/// A name for each label, or none. All names are one after another in one piece of memory, so that a label which takes
/// few bytes of a file takes few bytes of memory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names {
    joined: String,
    /// End of each name in `joined`, up to the last label that has one. A file has far fewer bytes than a u32 can
    /// count.
    ends: Vec<u32>,
}

impl Names {
    /// Gives a name to the label `index`, which must come after all labels that have one.
    pub fn put(&mut self, index: usize, name: &str) {
        self.ends.resize(index, self.joined.len() as u32);
        self.joined.push_str(name);
        self.ends.push(self.joined.len() as u32);
    }

    /// The name of the label `index`, if it has one.
    pub fn get(&self, index: usize) -> Option<&str> {
        let end = *self.ends.get(index)? as usize;
        let start = index.checked_sub(1).map_or(0, |before| self.ends[before] as usize);
        Some(&self.joined[start..end]).filter(|name| !name.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_without_a_name_may_stand_anywhere() {
        let mut names = Names::default();
        names.put(1, "a");
        names.put(2, "bc");
        names.put(4, "d");
        let found: Vec<_> = (0..6).map(|index| names.get(index)).collect();
        assert_eq!(found, [None, Some("a"), Some("bc"), None, Some("d"), None]);
    }
}
