//! Who may import whom, and the tidiness that keeps the house readable.
