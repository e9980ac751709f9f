//! Files as users have them: good, odd, damaged and hostile.

mod bytes;
mod columns;
mod demo;
mod fits;
mod hostile;
mod labels;
mod leaving_out;
mod looking;
mod opening;
mod round_trips;
mod sets;
mod special;
mod vocabularies;
mod weights;
