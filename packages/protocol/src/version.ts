/** Version of the program; `test/docs.test.ts` keeps every manifest equal to it. */
export const VERSION = '0.1.0'
