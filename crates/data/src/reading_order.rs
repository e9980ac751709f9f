//! Rows in the order in which a model reads their tokens.

/// The order of the rows by prompt and position, if the rows were shuffled and prompts and positions give an order.
/// `None` leaves the rows as they are. This is so if they are in order already, or if a position occurs twice in
/// prompts of one number, because such a number does not stand for a single prompt.
/// then a number does not stand for one prompt only.
///
/// # Panics
/// If there are not as many positions as prompt ids.
pub fn reading_order(prompt_ids: &[i64], positions: &[i64]) -> Option<Vec<usize>> {
    assert_eq!(prompt_ids.len(), positions.len(), "a prompt and a position for each row");
    let place = |row: usize| (prompt_ids[row], positions[row]);
    let mut order: Vec<usize> = (0..prompt_ids.len()).collect();
    order.sort_by_key(|&row| place(row));
    let is_twice = order.windows(2).any(|pair| place(pair[0]) == place(pair[1]));
    if is_twice || is_in_order(prompt_ids, positions, &order) {
        return None;
    }
    Some(order)
}

/// Whether the rows of each prompt are together and its positions ascend, whatever the order of the prompts. `sorted`
/// are the rows by prompt and position.
fn is_in_order(prompt_ids: &[i64], positions: &[i64], sorted: &[usize]) -> bool {
    let ascend =
        (1..prompt_ids.len()).all(|row| prompt_ids[row] != prompt_ids[row - 1] || positions[row] > positions[row - 1]);
    let runs = (1..prompt_ids.len()).filter(|&row| prompt_ids[row] != prompt_ids[row - 1]).count();
    let prompts = sorted.windows(2).filter(|pair| prompt_ids[pair[0]] != prompt_ids[pair[1]]).count();
    ascend && runs == prompts
}

/// The place of each row in its prompt, from 0. The places follow the [`reading_order`], or the order of the rows if
/// there is none.
pub(crate) fn places(prompt_ids: &[i64], positions: Option<&[i64]>) -> Vec<u64> {
    let order = positions.and_then(|positions| reading_order(prompt_ids, positions));
    let mut places = vec![0; prompt_ids.len()];
    let (mut before, mut place) = (None, 0);
    for index in 0..prompt_ids.len() {
        let row = order.as_ref().map_or(index, |order| order[index]);
        place = if before == Some(prompt_ids[row]) { place + 1 } else { 0 };
        before = Some(prompt_ids[row]);
        places[row] = place;
    }
    places
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shuffled_rows_are_put_in_order() {
        assert_eq!(reading_order(&[2, 1, 2, 1], &[1, 0, 0, 5]), Some(vec![1, 3, 2, 0]));
        assert_eq!(places(&[2, 1, 2, 1], Some(&[1, 0, 0, 5])), [1, 0, 0, 1]);
    }

    #[test]
    fn rows_that_are_in_order_stay_so_whatever_the_order_of_prompts() {
        assert_eq!(reading_order(&[7, 7, 3, 3], &[4, 5, 0, 2]), None);
        assert_eq!(places(&[7, 7, 3, 3], Some(&[4, 5, 0, 2])), [0, 1, 0, 1]);
        assert_eq!(places(&[7, 7, 3, 7], None), [0, 1, 0, 0]);
        assert_eq!(reading_order(&[], &[]), None);
    }

    #[test]
    fn numbers_that_stand_for_several_prompts_are_left_alone() {
        // Two batches that both count their prompts from 0.
        assert_eq!(reading_order(&[0, 0, 1, 1, 0, 0], &[0, 1, 0, 1, 0, 1]), None);
        assert_eq!(places(&[0, 0, 1, 1, 0, 0], Some(&[0, 1, 0, 1, 0, 1])), [0, 1, 0, 1, 0, 1]);
    }
}
