/// An order of steps that is wrong, so that the models are seen to find that.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Broken {
    #[default]
    Not,
    CommitsLate,
    SleepsOnUncommitted,
}
