/** Styles are imported for the build, which bundles them. */
declare module "*.css";
