"""What tests share: the Hub double, visitors of the page, toy data and toy trainings."""
