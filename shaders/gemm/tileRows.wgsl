// Rows of which an invocation holds the results; 16 make a whole word of a packed mask.
const RM = 16u; //#given
// true: results are stored by straight-line code, false: by loops whose length the compiler does not know
const UNROLLED = false; //#given
