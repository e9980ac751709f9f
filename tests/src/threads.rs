//! Ranks that are threads of one process.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use unmix::Communicator;

/// Longer than any rank computes between two exchanges of a test.
const PATIENCE: Duration = Duration::from_secs(120);

/// What the ranks share.
#[derive(Debug)]
struct Shared {
    ranks: u32,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// What each rank has sent in this exchange: a part for each rank.
    sent: Vec<Option<Vec<Vec<u8>>>>,
    /// Number of ranks that have taken what was sent to them.
    taken: u32,
    /// Number of exchanges that are complete.
    exchanges: u64,
    /// Bytes that ranks have sent to other ranks.
    bytes: u64,
    /// Whether a rank has ended before the others.
    broken: bool,
}

/// A rank that is a thread.
#[derive(Clone, Debug)]
pub struct ThreadRank {
    rank: u32,
    shared: Arc<Shared>,
}

impl ThreadRank {
    /// So many ranks, connected to one another.
    pub fn connected(ranks: u32) -> Vec<Arc<ThreadRank>> {
        let state = State { sent: vec![None; ranks as usize], ..State::default() };
        let shared = Arc::new(Shared { ranks, state: Mutex::new(state), changed: Condvar::new() });
        (0..ranks).map(|rank| Arc::new(ThreadRank { rank, shared: Arc::clone(&shared) })).collect()
    }

    /// Tells the other ranks that this one has ended, so that they do not wait for it any longer.
    pub fn leave(&self) {
        self.state().broken = true;
        self.shared.changed.notify_all();
    }

    /// Bytes that ranks have sent to other ranks so far.
    pub fn bytes(&self) -> u64 {
        self.state().bytes
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until `holds`.
    fn wait<'s>(&'s self, state: MutexGuard<'s, State>, holds: impl Fn(&State) -> bool) -> MutexGuard<'s, State> {
        let waited = self.shared.changed.wait_timeout_while(state, PATIENCE, |state| !state.broken && !holds(state));
        let (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        assert!(holds(&state), "rank {} waits for a rank that has ended", self.rank);
        state
    }
}

impl Communicator for ThreadRank {
    fn ranks(&self) -> u32 {
        self.shared.ranks
    }

    fn rank(&self) -> u32 {
        self.rank
    }

    fn exchange(&self, parts: &[&[u8]]) -> Vec<Vec<u8>> {
        let ranks = self.shared.ranks;
        assert_eq!(parts.len(), ranks as usize, "a part for each rank");
        let mut state = self.state();
        let exchange = state.exchanges;
        let others = parts.iter().enumerate().filter(|(rank, _)| *rank != self.rank as usize);
        state.bytes += others.map(|(_, part)| part.len() as u64).sum::<u64>();
        state.sent[self.rank as usize] = Some(parts.iter().map(|part| part.to_vec()).collect());
        self.shared.changed.notify_all();
        state = self.wait(state, |state| state.exchanges > exchange || state.sent.iter().all(Option::is_some));
        let own = |sent: &Option<Vec<Vec<u8>>>| sent.as_ref().map(|parts| parts[self.rank as usize].clone());
        let received = state.sent.iter().map(|sent| own(sent).unwrap_or_default()).collect();
        state.taken += 1;
        if state.taken == ranks {
            state.taken = 0;
            state.exchanges += 1;
            state.sent.fill(None);
            self.shared.changed.notify_all();
        }
        // Nobody sends again before everybody has taken.
        drop(self.wait(state, |state| state.exchanges > exchange));
        received
    }
}
