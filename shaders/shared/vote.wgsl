// The end of a loop that some threads of a subgroup go through more often than others.

// Whether a thread goes through the loop once more. `has_more` says whether it has something to do there. With votes it goes on
// as long as another thread of its subgroup has. So all of them leave the loop together, and a compiler needs no copies of
// the sums of those that are done. A thread's result is right whichever others vote with it.
@if(votes)
fn goes_on(has_more: bool) -> bool {
    return subgroupAny(has_more);
}
@else
fn goes_on(has_more: bool) -> bool {
    return has_more;
}
