/** What all tests run under, in processes that they start as well. */
process.env.LINBP_CHECK_CONSTANTS = '1';
