/** Something shown in the main area, with what must end when it goes. */
export interface View {
  element: HTMLElement;
  close(): void;
}
