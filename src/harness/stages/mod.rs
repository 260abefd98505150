//! Each kernel of the pipeline alone, and the roofline they add up to.
