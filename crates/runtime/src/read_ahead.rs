//! A thread that reads panels into slots before they are needed.

use std::collections::VecDeque;
use std::ops::{Deref, DerefMut};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use crate::Error;
use crate::lock::lock;

/// Slots, and a thread that fills them with the panels that will be visited next. A slot is whatever memory a panel is read into;
/// there are never more of them than at the start.
pub(crate) struct ReadAhead<S> {
    shared: Arc<Shared<S>>,
    reader: Option<JoinHandle<()>>,
}

struct Shared<S> {
    state: Mutex<State<S>>,
    changed: Condvar,
}

struct State<S> {
    /// Number of slots.
    slots: usize,
    /// Slots whose content is not needed. The slot that has been here longest is filled first.
    free: VecDeque<S>,
    /// Slots that hold a panel.
    full: Vec<(u32, S)>,
    /// Panels that somebody has taken.
    taken: Vec<u32>,
    /// Panels that the current run will still visit.
    now: VecDeque<u32>,
    /// Panels that will probably be visited after that.
    next: Vec<u32>,
    /// The panel that could not be read. Nothing is read until somebody asks for it or something else is announced.
    failed: Option<(u32, Error)>,
    /// Number of announcements.
    announcements: u64,
    closing: bool,
}

impl<S> State<S> {
    /// The panels that are visited next, as many as there are slots, each once.
    fn soon(&self) -> Vec<u32> {
        let mut soon = Vec::with_capacity(self.slots);
        for panel in self.now.iter().chain(self.next.iter()) {
            if soon.len() == self.slots {
                break;
            }
            if !soon.contains(panel) {
                soon.push(*panel);
            }
        }
        soon
    }

    /// The panel to read now and the slot for it. Panels that will be visited soon keep their slots.
    fn job(&mut self) -> Option<(u32, S)> {
        if self.failed.is_some() {
            return None;
        }
        let soon = self.soon();
        let at_hand = |panel: &u32| self.taken.contains(panel) || self.full.iter().any(|(held, _)| held == panel);
        let wanted = soon.iter().copied().find(|panel| !at_hand(panel))?;
        let slot = self.free.pop_front().or_else(|| {
            let idle = self.full.iter().position(|(held, _)| !soon.contains(held))?;
            Some(self.full.swap_remove(idle).1)
        })?;
        Some((wanted, slot))
    }
}

impl<S: Send + 'static> ReadAhead<S> {
    /// Starts the thread. `fill` reads a panel into a slot.
    ///
    /// # Errors
    /// If the system cannot start a thread.
    pub fn start(
        slots: Vec<S>,
        mut fill: impl FnMut(u32, &mut S) -> Result<(), Error> + Send + 'static,
    ) -> Result<Self, Error> {
        let state = State {
            slots: slots.len(),
            free: slots.into(),
            full: Vec::new(),
            taken: Vec::new(),
            now: VecDeque::new(),
            next: Vec::new(),
            failed: None,
            announcements: 0,
            closing: false,
        };
        let shared = Arc::new(Shared { state: Mutex::new(state), changed: Condvar::new() });
        let of_reader = Arc::clone(&shared);
        let reader = std::thread::Builder::new()
            .name("unmix-reader".to_owned())
            .spawn(move || of_reader.read(&mut fill))
            .map_err(|error| Error::Read(format!("no thread to read with: {error}")))?;
        Ok(ReadAhead { shared, reader: Some(reader) })
    }
}

impl<S> ReadAhead<S> {
    /// Announces the panels `now`, which will be [taken](Self::take) in this order, and the panels `next`, which will probably follow.
    /// Earlier announcements no longer count. Panels in slots stay there until their slots are needed.
    pub fn announce(&self, now: Vec<u32>, next: impl IntoIterator<Item = u32>) {
        let mut state = lock(&self.shared.state);
        state.now = now.into();
        state.next.clear();
        let more = state.slots;
        state.next.extend(next.into_iter().take(more));
        state.failed = None;
        state.announcements += 1;
        self.shared.changed.notify_all();
    }

    /// Waits for a panel, which must be the next of those that were announced. The panel stays in its slot until the returned value is
    /// dropped.
    ///
    /// # Errors
    /// If the panel could not be read. Then nothing is read until panels are announced again.
    pub fn take(&self, panel: u32) -> Result<Taken<'_, S>, Error> {
        let mut state = lock(&self.shared.state);
        debug_assert_eq!(state.now.front(), Some(&panel), "panels are taken as they were announced");
        loop {
            if let Some(index) = state.full.iter().position(|(held, _)| *held == panel) {
                let (_, slot) = state.full.swap_remove(index);
                state.now.pop_front();
                state.taken.push(panel);
                self.shared.changed.notify_all();
                return Ok(Taken { shared: &self.shared, panel, slot: Some(slot), is_spent: false });
            }
            if let Some((_, error)) = state.failed.take_if(|(failed, _)| *failed == panel) {
                state.now.clear();
                state.next.clear();
                return Err(error);
            }
            state = self.shared.wait(state);
        }
    }
}

impl<S> Shared<S> {
    fn wait<'a>(&self, state: MutexGuard<'a, State<S>>) -> MutexGuard<'a, State<S>> {
        self.changed.wait(state).unwrap_or_else(PoisonError::into_inner)
    }

    /// The work of the reader thread: fills a slot whenever one is available for a panel that will be visited, until the thread must end.
    fn read(&self, fill: &mut impl FnMut(u32, &mut S) -> Result<(), Error>) {
        let mut state = lock(&self.state);
        while !state.closing {
            let Some((panel, mut slot)) = state.job() else {
                state = self.wait(state);
                continue;
            };
            let announcement = state.announcements;
            drop(state);
            let filled = catch_unwind(AssertUnwindSafe(|| fill(panel, &mut slot))).unwrap_or_else(|panic| {
                let words = panic.downcast_ref::<String>().map(String::as_str);
                let words = words.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message");
                Err(Error::Read(format!("panel {panel}: a panic while reading it: {words}")))
            });
            state = lock(&self.state);
            match filled {
                Ok(()) => state.full.push((panel, slot)),
                Err(error) => {
                    state.free.push_back(slot);
                    // A panel that an earlier announcement wanted may be wanted later or never. Reading must not stop for it.
                    if state.announcements == announcement {
                        state.failed = Some((panel, error));
                    }
                }
            }
            self.changed.notify_all();
        }
    }
}

impl<S> Drop for ReadAhead<S> {
    fn drop(&mut self) {
        lock(&self.shared.state).closing = true;
        self.shared.changed.notify_all();
        if let Some(reader) = self.reader.take() {
            // It catches panics, and nobody waits for a panel any more.
            let _ = reader.join();
        }
    }
}

/// A slot with the panel that was asked for.
pub(crate) struct Taken<'a, S> {
    shared: &'a Shared<S>,
    panel: u32,
    /// There until it is dropped.
    slot: Option<S>,
    is_spent: bool,
}

impl<S> Taken<'_, S> {
    /// Gives the slot back as one that holds nothing any more.
    pub fn spend(mut self) {
        self.is_spent = true;
    }
}

impl<S> Deref for Taken<'_, S> {
    type Target = S;

    fn deref(&self) -> &S {
        self.slot.as_ref().expect("there until it is dropped")
    }
}

impl<S> DerefMut for Taken<'_, S> {
    fn deref_mut(&mut self) -> &mut S {
        self.slot.as_mut().expect("there until it is dropped")
    }
}

impl<S> Drop for Taken<'_, S> {
    fn drop(&mut self) {
        let mut state = lock(&self.shared.state);
        state.taken.retain(|panel| *panel != self.panel);
        if let Some(slot) = self.slot.take() {
            if self.is_spent { state.free.push_back(slot) } else { state.full.push((self.panel, slot)) }
        }
        self.shared.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the reader read, in order, and slots that hold the number of their panel.
    fn ahead(slots: usize, fails_at: Option<u32>) -> (ReadAhead<u32>, Arc<Mutex<Vec<u32>>>) {
        let read = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&read);
        let ahead = ReadAhead::start(vec![u32::MAX; slots], move |panel, slot| {
            lock(&log).push(panel);
            if fails_at == Some(panel) {
                return Err(Error::Read(format!("panel {panel}")));
            }
            *slot = panel;
            Ok(())
        });
        (ahead.expect("a thread"), read)
    }

    fn run(ahead: &ReadAhead<u32>, visits: &[u32]) {
        ahead.announce(visits.to_vec(), visits.to_vec());
        for &panel in visits {
            assert_eq!(*ahead.take(panel).expect("a panel"), panel);
        }
    }

    #[test]
    fn panels_are_read_in_order_and_once_a_run() {
        for slots in 1..5 {
            let (ahead, read) = ahead(slots, None);
            for _ in 0..3 {
                run(&ahead, &[0, 1, 2, 3, 4]);
            }
            drop(ahead);
            let read = lock(&read).clone();
            assert_eq!(read[..5], [0, 1, 2, 3, 4], "{slots} slots");
            for panel in 0..5 {
                // After the last run it goes on with the first panels of another one.
                let most = if (panel as usize) < slots { 4 } else { 3 };
                let times = read.iter().filter(|&&other| other == panel).count();
                assert!((1..=most).contains(&times), "{slots} slots, panel {panel}: {read:?}");
            }
        }
    }

    #[test]
    fn panels_that_are_in_slots_are_not_read_again() {
        let (ahead, read) = ahead(3, None);
        for _ in 0..3 {
            run(&ahead, &[0, 1, 2]);
        }
        assert_eq!(*lock(&read), [0, 1, 2]);
        run(&ahead, &[2, 1]);
        assert_eq!(*lock(&read), [0, 1, 2]);
    }

    #[test]
    fn what_was_read_for_nothing_makes_room() {
        let (ahead, read) = ahead(2, None);
        run(&ahead, &[0, 1]);
        run(&ahead, &[7, 8, 9, 7]);
        run(&ahead, &[0, 1]);
        run(&ahead, &[1, 0]);
        assert_eq!(lock(&read).iter().filter(|&&panel| panel == 1).count(), 2);
    }

    #[test]
    fn a_slot_that_is_spent_is_filled_again() {
        let (ahead, read) = ahead(3, None);
        for _ in 0..2 {
            ahead.announce(vec![0, 1], []);
            for panel in [0, 1] {
                let taken = ahead.take(panel).expect("a panel");
                assert_eq!(*taken, panel);
                taken.spend();
            }
        }
        assert_eq!(*lock(&read), [0, 1, 0, 1]);
    }

    #[test]
    fn a_failure_is_returned_where_its_panel_is_wanted_and_not_before() {
        let (ahead, _) = ahead(3, Some(2));
        for _ in 0..2 {
            ahead.announce(vec![0, 1, 2, 3], [0]);
            assert!(ahead.take(0).is_ok() && ahead.take(1).is_ok());
            assert!(matches!(ahead.take(2), Err(Error::Read(text)) if text == "panel 2"));
        }
        // Panels that can be read are there all the same.
        run(&ahead, &[0, 1, 3, 0]);
    }

    #[test]
    fn a_failure_that_comes_after_another_announcement_does_not_stop_reading() {
        let (begins, begun) = std::sync::mpsc::channel();
        let (goes_on, may_go_on) = std::sync::mpsc::channel();
        let ahead = ReadAhead::start(vec![u32::MAX], move |panel, slot| {
            if panel == 1 {
                begins.send(()).expect("the test listens");
                may_go_on.recv().expect("the test answers");
                return Err(Error::Read("panel 1".to_owned()));
            }
            *slot = panel;
            Ok(())
        })
        .expect("a thread");
        ahead.announce(vec![0], [1]);
        drop(ahead.take(0));
        begun.recv().expect("panel 1 is being read");
        ahead.announce(vec![0, 1], []);
        goes_on.send(()).expect("the reader listens");
        assert_eq!(*ahead.take(0).expect("a panel"), 0);
        goes_on.send(()).expect("the reader listens");
        assert!(ahead.take(1).is_err());
    }

    #[test]
    fn it_can_be_dropped_at_any_moment() {
        for taken in 0..3 {
            let (ahead, _) = ahead(2, Some(2));
            ahead.announce(vec![0, 1, 2], []);
            for panel in 0..taken {
                drop(ahead.take(panel));
            }
        }
    }
}
