//! Which graphs are shown, and in which order: a value, and the text that it is kept as.

/// Between the names in the text.
const BETWEEN: &str = ",";
/// Leads the name of a graph that is hidden.
const HIDDEN: char = '-';

/// One graph in the order of a person's choice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Which one, counted from 0 in the page's own order.
    pub graph: usize,
    pub is_shown: bool,
}

/// One step in the list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    Up,
    Down,
}

/// Every graph of the page, each once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout(Vec<Place>);

impl Layout {
    /// The page's own: so many graphs, all shown.
    pub fn usual(graphs: usize) -> Self {
        Self((0..graphs).map(|graph| Place { graph, is_shown: true }).collect())
    }

    /// Reads what [`Layout::text`] wrote, perhaps for a page of other graphs. `names` are the page's own, in its order:
    /// those that the text does not have come at the end, shown. A name that the page does not have is passed over, and
    /// so is one that was there before.
    pub fn parse(text: &str, names: &[&str]) -> Self {
        let written = text.split(BETWEEN).filter_map(|word| {
            let name = word.strip_prefix(HIDDEN).unwrap_or(word);
            let graph = names.iter().position(|known| *known == name)?;
            Some(Place { graph, is_shown: name == word })
        });
        let mut places: Vec<Place> = Vec::with_capacity(names.len());
        for place in written.chain(Self::usual(names.len()).0) {
            if places.iter().all(|known| known.graph != place.graph) {
                places.push(place);
            }
        }
        Self(places)
    }

    /// The names in order, those of hidden graphs with a mark.
    pub fn text(&self, names: &[&str]) -> String {
        let words = self.0.iter().filter_map(|place| {
            let name = names.get(place.graph)?;
            Some(if place.is_shown { (*name).to_owned() } else { format!("{HIDDEN}{name}") })
        });
        words.collect::<Vec<_>>().join(BETWEEN)
    }

    /// What is at a place, counted from 0.
    pub fn at(&self, place: usize) -> Option<Place> {
        self.0.get(place).copied()
    }

    /// The graphs to draw, in order.
    pub fn shown(&self) -> Vec<usize> {
        self.0.iter().filter(|place| place.is_shown).map(|place| place.graph).collect()
    }

    /// Whether nothing was chosen, or all of it taken back.
    pub fn is_usual(&self) -> bool {
        *self == Self::usual(self.0.len())
    }

    /// Shows the graph at a place, or hides it.
    pub fn show(&mut self, place: usize, is_shown: bool) {
        if let Some(place) = self.0.get_mut(place) {
            place.is_shown = is_shown;
        }
    }

    /// Shows every graph where it is.
    pub fn show_all(&mut self) {
        for place in &mut self.0 {
            place.is_shown = true;
        }
    }

    /// Moves the graph at a place by one, hidden ones counted. Answers its new place; nothing if there is no such step.
    pub fn step(&mut self, place: usize, step: Step) -> Option<usize> {
        let to = match step {
            Step::Up => place.checked_sub(1)?,
            Step::Down => place.checked_add(1)?,
        };
        if place.max(to) >= self.0.len() {
            return None;
        }
        self.0.swap(place, to);
        Some(to)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: [&str; 4] = ["requests", "first-byte", "load", "memory"];

    fn text_of(text: &str) -> String {
        Layout::parse(text, &NAMES).text(&NAMES)
    }

    #[test]
    fn what_was_written_is_read_again() {
        let mut layout = Layout::usual(NAMES.len());
        assert!(layout.is_usual());
        layout.show(1, false);
        assert_eq!(layout.step(2, Step::Up), Some(1));
        assert_eq!(layout.shown(), [0, 2, 3]);
        assert_eq!(layout.at(2), Some(Place { graph: 1, is_shown: false }));
        let text = layout.text(&NAMES);
        assert_eq!(text, "requests,load,-first-byte,memory");
        assert_eq!(Layout::parse(&text, &NAMES), layout);
        assert!(!layout.is_usual());
    }

    #[test]
    fn graphs_that_a_text_does_not_know_come_at_the_end_and_are_shown() {
        assert_eq!(text_of("memory,-load"), "memory,-load,requests,first-byte");
        assert_eq!(text_of(""), NAMES.join(","));
    }

    #[test]
    fn names_of_no_graph_and_names_said_twice_are_passed_over() {
        assert_eq!(text_of("tokens,-load,load,,-, memory,--memory"), "-load,requests,first-byte,memory");
    }

    #[test]
    fn a_step_beyond_the_ends_moves_nothing() {
        let mut layout = Layout::usual(3);
        assert_eq!(layout.step(0, Step::Up), None);
        assert_eq!(layout.step(2, Step::Down), None);
        assert_eq!(layout.step(3, Step::Up), None);
        assert_eq!(layout.step(usize::MAX, Step::Down), None);
        assert!(layout.is_usual());
        assert_eq!(layout.step(0, Step::Down), Some(1));
        assert_eq!(layout.shown(), [1, 0, 2]);
        assert_eq!(layout.step(1, Step::Up), Some(0));
        assert!(layout.is_usual());
    }

    #[test]
    fn all_can_be_hidden_and_come_back_where_they_were() {
        let mut layout = Layout::parse("memory,load", &NAMES);
        for place in 0..NAMES.len() {
            layout.show(place, false);
        }
        layout.show(NAMES.len(), false);
        assert!(layout.shown().is_empty());
        assert_eq!(layout.text(&NAMES), "-memory,-load,-requests,-first-byte");
        layout.show_all();
        assert_eq!(layout.shown(), [3, 2, 0, 1]);
    }
}
